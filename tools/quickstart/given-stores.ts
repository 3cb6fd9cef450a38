import { serversIn, writable } from '#postgres';
import { createRedisClient } from '#redis-client';
// Past the library's door, which would bring the whole of Nest into a process that only starts others.
import { reasonOf } from '../../libs/server/src/reason-of.js';
import type { QuickstartConfig } from './config.js';
import type { Home, State } from './home.js';
import type { Passwords } from './secrets.js';

const STORE_SETTINGS = [
  'MIGRATION_DATABASE_URL',
  'DATABASE_URL',
  'LOGIN_DATABASE_URL',
  'KEY_SERVICE_DATABASE_URL',
  'REDIS_URL',
] as const;

/** What is known of a platform's own servers. */
export interface OwnServers {
  home: Pick<Home, 'path'>;
  state: State;
  passwords: Passwords;
}

/**
 * Refuses settings that name the servers which this start would start itself: so they do in a shell that has read the file `env`.
 *
 * @throws Error naming the settings, and what to do
 */
export function refuseOwnServers(config: QuickstartConfig, { home, ...own }: OwnServers): void {
  const named = STORE_SETTINGS.filter((name) => isOwn(config[name], own));
  if (named.length === 0) return;
  throw new Error(
    `Nothing runs where this shell's ${named.join(', ')} point: these are the servers of ${home.path}, which \`npm start\` itself starts and stops. ` +
      `Start it in a new shell, or first: unset ${named.join(' ')}`,
  );
}

function isOwn(url: string | undefined, { state, passwords }: Omit<OwnServers, 'home'>): boolean {
  if (url === undefined || !URL.canParse(url)) return false;
  const { hostname, port, password } = new URL(url);
  return (
    hostname === '127.0.0.1' &&
    [state.postgresPort, state.redisPort].includes(Number(port)) &&
    Object.values(passwords).includes(decodeURIComponent(password))
  );
}

/**
 * Makes sure that a database of the environment can be used.
 *
 * @param name of the setting that its owner's connection string is from
 * @throws Error naming the setting and the servers, never the password
 */
export async function checkDatabase(name: string, url: string): Promise<void> {
  const { connectionString, Client } = writable(url);
  const client = new Client({ connectionString, connectionTimeoutMillis: 10_000 });
  try {
    await client.connect();
  } catch (cause) {
    const servers = serversIn(url).map(({ host, port }) => `${host}:${port}`);
    throw new Error(
      `The PostgreSQL that ${name} names, at ${servers.join(', ')}, cannot be used (${reasonOf(cause)}). ` +
        `Set it to one that runs, or unset it for the embedded PostgreSQL`,
      { cause },
    );
  } finally {
    await client.end();
  }
}

/**
 * Makes sure that the Redis of the environment can be used: services that run go on without it, but who starts them with a setting that
 * leads nowhere is to know.
 *
 * @throws Error naming the setting, never what stands in it
 */
export async function checkRedis(name: string, url: string): Promise<void> {
  const client = createRedisClient(url, { commandTimeoutMs: 10_000 });
  let failure: unknown;
  client.on('error', (error) => (failure ??= error));
  try {
    await client.connect();
  } catch (cause) {
    const why = reasonOf(failure ?? cause);
    throw new Error(
      `The Redis that ${name} names cannot be used (${why}). Set it to one that runs, or unset it for one that \`npm start\` starts`,
      { cause },
    );
  } finally {
    client.disconnect();
  }
}
