import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { Client, escapeIdentifier, escapeLiteral } from 'pg';

/** Who uses a schema while the platform runs: a login role and the group role that holds its rights. */
export interface RuntimeRole {
  /** Connection string with the role's name and password. */
  url: string;
  /** Group role that a migration has made. */
  group: string;
}

const INSUFFICIENT_PRIVILEGE = '42501';
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Makes sure that the role of `url` can log in with its password and has the rights of `group`. Does nothing where that is
 * so already, so a role that an administrator has made needs no right to create roles here.
 *
 * @throws Error with the SQL to run by hand where the owner may not do it
 */
export async function ensureLoginRole(owner: Client, { url, group }: RuntimeRole): Promise<void> {
  const { name, password } = credentialsOf(url);
  const found = await owner.query<{ member: boolean }>(
    `SELECT pg_has_role(rolname, $2, 'USAGE') AS member FROM pg_roles WHERE rolname = $1`,
    [name, group],
  );
  const role = found.rows[0];
  try {
    if (role === undefined) {
      await owner.query(`CREATE ROLE ${escapeIdentifier(name)} ${RIGHTS} ${passwordOf(password)}`);
    } else if (!(await canLogIn(url))) {
      await owner.query(`ALTER ROLE ${escapeIdentifier(name)} LOGIN ${passwordOf(password)}`);
    }
    if (!role?.member) {
      await owner.query(`GRANT ${escapeIdentifier(group)} TO ${escapeIdentifier(name)}`);
    }
  } catch (error) {
    if ((error as { code?: string }).code !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new Error(adviceFor(name, group), { cause: error });
  }
}

const RIGHTS = 'LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS';

function credentialsOf(url: string): { name: string; password: string } {
  const { username, password } = new URL(url);
  if (username === '' || password === '') {
    throw new Error('LOGIN_DATABASE_URL and KEY_SERVICE_DATABASE_URL need a user and a password');
  }
  return { name: decodeURIComponent(username), password: decodeURIComponent(password) };
}

async function canLogIn(url: string): Promise<boolean> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The password as a SCRAM-SHA-256 verifier (RFC 5803), so that its plain text reaches no server log. */
function passwordOf(password: string): string {
  const iterations = 4_096;
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const keyOf = (name: string) => createHmac('sha256', salted).update(name).digest();
  const stored = createHash('sha256').update(keyOf('Client Key')).digest('base64');
  const server = keyOf('Server Key').toString('base64');
  const verifier = `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${server}`;
  return `PASSWORD ${escapeLiteral(verifier)}`;
}

function adviceFor(name: string, group: string): string {
  const [role, rights] = [escapeIdentifier(name), escapeIdentifier(group)];
  return [
    `The database's owner may not set up the role ${role}. Let an administrator run, then migrate again:`,
    `  CREATE ROLE ${role} ${RIGHTS} PASSWORD '<the password of its URL>';   -- or ALTER ROLE, if it is there`,
    `  GRANT ${rights} TO ${role};`,
  ].join('\n');
}
