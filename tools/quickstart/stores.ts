import { asRole, writable } from '#postgres';
import type { Stores } from './apps.js';
import type { QuickstartConfig } from './config.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';
import { checkDatabase, checkRedis, refuseOwnServers } from './given-stores.js';
import { writeState, type Home, type State } from './home.js';
import type { Parts } from './part.js';
import { portNear } from './ports.js';
import { hasRedisServer, startRedisServer } from './redis-server.js';
import type { Passwords } from './secrets.js';

/** What the stores are made from. */
export interface StoresOptions {
  config: QuickstartConfig;
  home: Home;
  state: State;
  passwords: Passwords;
  /** Gets the servers that are started. */
  parts: Parts;
  say: (line: string) => void;
}

/**
 * PostgreSQL and Redis: those of the environment, else servers of the platform's own.
 *
 * @throws Error naming the setting where its PostgreSQL or Redis cannot be used
 */
export async function openStores(options: StoresOptions): Promise<Stores> {
  const { config, passwords } = options;
  refuseOwnServers(config, options);
  const [ownerUrl, redisUrl] = await Promise.all([openPostgres(options), openRedis(options)]);
  return {
    ownerUrl,
    redisUrl,
    loginUrl: config.LOGIN_DATABASE_URL ?? asRole(ownerUrl, 'keyward_login_app', passwords.login),
    keyServiceUrl:
      config.KEY_SERVICE_DATABASE_URL ??
      asRole(ownerUrl, 'keyward_key_service_app', passwords.keyService),
  };
}

/**
 * Names a database such that a dropped and newly made one has another name; null where the server does not tell.
 * Provisioning is left out where this database was provisioned before.
 */
export async function fingerprint(ownerUrl: string): Promise<string | null> {
  const { connectionString, Client } = writable(ownerUrl);
  const client = new Client({ connectionString, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      `SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
         (SELECT oid FROM pg_database WHERE datname = current_database()),
         'login'::regnamespace::oid, 'keys'::regnamespace::oid) AS name`,
    );
    return rows[0]?.name ?? null;
  } catch {
    return null;
  } finally {
    await client.end();
  }
}

async function openPostgres(options: StoresOptions): Promise<string> {
  const { config, home, state, passwords, parts } = options;
  const setting = config.MIGRATION_DATABASE_URL ? 'MIGRATION_DATABASE_URL' : 'DATABASE_URL';
  const given = config[setting];
  if (given !== undefined) {
    await checkDatabase(setting, given);
    return given;
  }
  if (config.LOGIN_DATABASE_URL ?? config.KEY_SERVICE_DATABASE_URL) {
    throw new Error(
      'LOGIN_DATABASE_URL or KEY_SERVICE_DATABASE_URL is set without DATABASE_URL; set that too, or none for the embedded PostgreSQL',
    );
  }
  const port = await portNear(state.postgresPort);
  const server = await startEmbeddedPostgres({
    dataDir: home.at('postgres'),
    port,
    password: passwords.owner,
    logFile: home.at('logs', 'postgres.log'),
    onStart: (part) => parts.add(part),
  });
  state.postgresPort = port;
  writeState(home, state);
  return server.url;
}

async function openRedis(options: StoresOptions): Promise<string | undefined> {
  const { config, home, state, passwords, parts, say } = options;
  if (config.REDIS_URL !== undefined) {
    await checkRedis('REDIS_URL', config.REDIS_URL);
    return config.REDIS_URL;
  }
  if (!hasRedisServer()) {
    say('No redis-server on the PATH: cache and counters live in the one key-service process');
    return undefined;
  }
  const port = await portNear(state.redisPort);
  const server = await startRedisServer({
    dir: home.at('redis'),
    port,
    password: passwords.redis,
    logFile: home.at('logs', 'redis.log'),
    onStart: (part) => parts.add(part),
  });
  state.redisPort = port;
  writeState(home, state);
  return server.url;
}
