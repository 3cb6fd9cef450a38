import { Pool, type PoolClient } from 'pg';

const CONNECTIONS = 8;

/** Connections to the schema `service_a`: a caller waits 500 ms for one, a statement takes at most a second. */
export function createLocalPool(connectionString: string): Pool {
  const pool = new Pool({
    connectionString,
    application_name: 'keyward service-a',
    max: CONNECTIONS,
    connectionTimeoutMillis: 500,
    statement_timeout: 1_000,
    query_timeout: 1_200,
    keepAlive: true,
  });
  // an idle connection that ends is replaced when one is needed
  pool.on('error', () => undefined);
  return pool;
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
