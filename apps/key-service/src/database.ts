import { Pool, type ClientBase } from 'pg';
import { DataSource, type EntitySchema, type MixedList } from 'typeorm';
import type { Logger } from 'pino';
import { namedDatabase, writable } from '#postgres';
import type { NamedDatabase } from '#server';
import type { KeyServiceEnv } from './config.js';

/** URL of the database as the runtime role. */
export function databaseUrlOf(env: KeyServiceEnv): string {
  return (env.KEY_SERVICE_DATABASE_URL ?? env.DATABASE_URL)!;
}

/** The same as its operator knows it. */
export function databaseOf(env: KeyServiceEnv): NamedDatabase {
  const isOwn = env.KEY_SERVICE_DATABASE_URL !== undefined;
  return namedDatabase(isOwn ? 'KEY_SERVICE_DATABASE_URL' : 'DATABASE_URL', databaseUrlOf(env));
}

/**
 * Management's own connections: at most 10, 2 s to get one, 5 s a statement. The hot path waits 500 ms; a change is given longer, as who
 * revokes many keys one by one would rather wait than be refused (docs/decisions/0021). With all waits and tries a change of one key has
 * 3 s, one of many 20 s (`changes/mutations.ts`). A transaction whose client is silent for 5 s is rolled back, so that a replica that is
 * cut off in the middle of one holds no locks.
 *
 * {@link SETTINGS} are said in a statement, as what stands between may refuse options when a connection is made.
 */
export function createDataSource(
  url: string,
  entities: MixedList<Function | EntitySchema>,
): DataSource {
  const { connectionString, Client } = writable(url);
  return new DataSource({
    type: 'postgres',
    url: connectionString,
    entities,
    applicationName: 'keyward key-service',
    extra: {
      Client,
      max: 10,
      connectionTimeoutMillis: 2_000,
      statement_timeout: 5_000,
      idle_in_transaction_session_timeout: 5_000,
      query_timeout: 6_000,
      keepAlive: true,
      onConnect: (client: ClientBase) => client.query(SETTINGS),
    },
  });
}

/**
 * What a page costs that is read out of turn, against 1 for the next one: nearly the same in memory and on an SSD. PostgreSQL's 4 is for
 * disks that turn; with it the planner reads some thousand keys in their order rather than look up the 51 of a page. Behind a pooler that
 * shares server connections it holds for whoever gets the connection next.
 */
const SETTINGS = 'SET random_page_cost = 1.1';

/**
 * Connections of a part that must not wait for management: the hot path, or the fence.
 *
 * @param max how many at most; a caller waits 500 ms for one, then fails
 * @param limits `statementMs`: how long a statement may take, one second by default
 */
export function createPool(
  url: string,
  max: number,
  log: Logger,
  { statementMs = 1_000 } = {},
): Pool {
  const pool = new Pool({
    ...writable(url),
    application_name: 'keyward verify',
    max,
    connectionTimeoutMillis: 500,
    // kept for good: whoever needs them all at once cannot wait for so many log-ins
    idleTimeoutMillis: 0,
    statement_timeout: statementMs,
    query_timeout: statementMs * 1.2,
    keepAlive: true,
  });
  pool.on('error', (error) => log.debug({ err: error }, 'an idle database connection ended'));
  return pool;
}
