import { Pool, type PoolClient } from 'pg';

const CONNECTIONS = 8;

/**
 * Connections to the schema `service_a`: a caller waits at most 3 seconds for one, which is also the time to open it on a busy machine;
 * a statement takes at most 2. Those that are open stay so, as opening many in a rush is what takes long.
 */
export function createLocalPool(connectionString: string, max = CONNECTIONS): Pool {
  const pool = new Pool({
    connectionString,
    application_name: 'keyward service-a',
    max,
    connectionTimeoutMillis: 3_000,
    statement_timeout: 2_000,
    query_timeout: 2_500,
    idleTimeoutMillis: 0,
    keepAlive: true,
  });
  // an idle connection that ends is replaced when one is needed
  pool.on('error', () => undefined);
  // nor does one that ends while it is taken out end the process: the statement that is run on it tells
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** Opens every connection, one after the other, before the first key comes. @throws where PostgreSQL does not answer */
export async function openConnections(pool: Pool): Promise<void> {
  const opened: PoolClient[] = [];
  try {
    while (opened.length < pool.options.max) opened.push(await pool.connect());
  } finally {
    for (const one of opened) one.release();
  }
}

/** Runs `work` in a transaction; whatever it throws takes everything back. */
export async function inTransaction<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  let isBroken = false;
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {
      isBroken = true;
    });
    throw error;
  } finally {
    client.release(isBroken);
  }
}
