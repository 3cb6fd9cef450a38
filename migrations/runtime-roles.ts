import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { escapeIdentifier, escapeLiteral, type Client } from 'pg';
import { credentialsOf, writable } from '#postgres';

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
 * Makes sure that the group roles are there, which hold the rights that migrations give.
 *
 * @param roles who will be in those groups, for the SQL of the error
 * @throws Error with the SQL to run by hand where the owner may not create roles
 */
export async function ensureGroupRoles(
  owner: Client,
  groups: readonly string[],
  roles: readonly RuntimeRole[],
): Promise<void> {
  const found = await owner.query<{ name: string }>(
    'SELECT rolname AS name FROM pg_roles WHERE rolname = ANY ($1)',
    [groups],
  );
  const there = new Set(found.rows.map((row) => row.name));
  const missing = groups.filter((group) => !there.has(group));
  const statements = missing.map((group) => `CREATE ROLE ${escapeIdentifier(group)} NOLOGIN`);
  await orAdvise([...statements, ...roles.flatMap(statementsFor)], async () => {
    for (const statement of statements) await owner.query(statement);
  });
}

/**
 * Makes sure that the role of `url` can log in with its password and has the rights of `group`. Does nothing where that is
 * so already, so a role that an administrator has made needs no right to create roles here.
 *
 * @throws Error with the SQL to run by hand where the owner may not do it
 */
export async function ensureLoginRole(owner: Client, runtime: RuntimeRole): Promise<void> {
  const { url, group } = runtime;
  const { name, password } = wholeCredentialsOf(url);
  const found = await owner.query<{ member: boolean }>(
    `SELECT pg_has_role(rolname, $2, 'USAGE') AS member FROM pg_roles WHERE rolname = $1`,
    [name, group],
  );
  const role = found.rows[0];
  const quoted = escapeIdentifier(name);
  await orAdvise(statementsFor(runtime), async () => {
    if (role === undefined) {
      await owner.query(`CREATE ROLE ${quoted} ${RIGHTS} ${passwordOf(password)}`);
    } else if (!(await canLogIn(url))) {
      await owner.query(`ALTER ROLE ${quoted} LOGIN ${passwordOf(password)}`);
    }
    if (!role?.member) await owner.query(`GRANT ${escapeIdentifier(group)} TO ${quoted}`);
  });
}

const RIGHTS = 'LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS';

function wholeCredentialsOf(url: string): { name: string; password: string } {
  const credentials = credentialsOf(url);
  if (credentials.name === '' || credentials.password === '') {
    throw new Error('The DATABASE_URL of an app needs a user and a password');
  }
  return credentials;
}

async function canLogIn(url: string): Promise<boolean> {
  const { connectionString, Client } = writable(url);
  const client = new Client({
    connectionString,
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

function statementsFor({ url, group }: RuntimeRole): string[] {
  const name = escapeIdentifier(wholeCredentialsOf(url).name);
  return [
    `CREATE ROLE ${name} ${RIGHTS} PASSWORD '<the password of its URL>'`,
    `GRANT ${escapeIdentifier(group)} TO ${name}`,
  ];
}

async function orAdvise(statements: string[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if ((error as { code?: string }).code !== INSUFFICIENT_PRIVILEGE) throw error;
    const advice = "The database's owner may not set up roles. Let an administrator run:";
    const lines = statements.map((statement) => `  ${statement};`);
    throw new Error([advice, ...lines, 'and then migrate again'].join('\n'), { cause: error });
  }
}
