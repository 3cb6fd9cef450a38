import { join } from 'node:path';
import { Client, type QueryResultRow } from 'pg';
import { startEmbeddedPostgres } from '../../tools/quickstart/embedded-postgres.js';
import type { Part } from '../../tools/quickstart/part.js';
import { freePort } from '../../tools/quickstart/ports.js';
import { placeFreshData } from './postgres-template.js';
import { tempDir } from './temp-dir.js';

/** A PostgreSQL of a test's own. It ends with the test process at the latest, however that ends. */
export interface TestPostgres {
  /** Connection string of the owner, for the empty database `keyward`. */
  url: string;
  /** The same database for another role. */
  urlFor: (role: string, password: string) => string;
  /** Rows of one query as the owner. */
  query: <T extends QueryResultRow>(sql: string, values?: unknown[]) => Promise<T[]>;
  /** Stops the server; its data stays. */
  stop: () => Promise<void>;
  /** Starts it again, on the same port with the same data. */
  start: () => Promise<void>;
  /** Stops the server and removes its data. */
  remove: () => Promise<void>;
}

/** Starts a PostgreSQL in a temporary folder on a free port. */
export async function startPostgres(): Promise<TestPostgres> {
  const dir = tempDir();
  const dataDir = join(dir.path, 'postgres');
  const options = {
    dataDir,
    port: await freePort(),
    password: await placeFreshData(dataDir),
    logFile: join(dir.path, 'postgres.log'),
    flags: ['-c', 'fsync=off'],
  };
  let server: Part | undefined;
  const start = async (): Promise<string> => {
    const started = await startEmbeddedPostgres(options);
    server = started;
    return started.url;
  };
  const stop = async (): Promise<void> => {
    await server?.stop();
    server = undefined;
  };
  const url = await start();
  return {
    url,
    urlFor: (role, password) => urlFor(url, role, password),
    query: (sql, values) => query(url, sql, values),
    stop,
    start: async () => {
      if (server === undefined) await start();
    },
    remove: async () => {
      await stop();
      dir.remove();
    },
  };
}

function urlFor(url: string, role: string, password: string): string {
  const other = new URL(url);
  other.username = role;
  other.password = password;
  return other.href;
}

/** Rows of one query on a connection of its own. */
export async function query<T extends QueryResultRow>(
  url: string,
  sql: string,
  values: unknown[] = [],
): Promise<T[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    return (await client.query<T>(sql, values)).rows;
  } finally {
    await client.end();
  }
}
