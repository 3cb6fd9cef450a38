import { createLogger } from '#server';
import { startPostgres, type TestPostgres } from './testing/postgres.js';
import { startProxy, type Proxy } from '../../../test/support/proxy.js';
import { createPool } from './database.js';

let postgres: TestPostgres;
let proxy: Proxy;

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await startProxy(postgres.runtimeUrl);
});
afterAll(async () => {
  await proxy?.close();
  await postgres?.stop();
});

it('a connection that the network dropped without a word is used for one statement, and never again', async () => {
  const log = createLogger('key-service', 'silent');
  const pool = createPool(proxy.through(postgres.runtimeUrl), 1, log, { statementMs: 250 });
  /** As TypeORM does: it takes a connection out and gives it back, whatever became of the statement. */
  const ask = async (): Promise<number> => {
    const client = await pool.connect();
    client.on('error', () => undefined);
    try {
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      return rows[0]!.pid;
    } finally {
      client.release();
    }
  };
  const first = await ask();
  expect(await ask()).toBe(first);
  proxy.blackhole(true);
  await expect(ask()).rejects.toThrow('Query read timeout');
  proxy.blackhole(false);
  expect(await ask()).not.toBe(first);
  await pool.end();
});

it('a connection that ends while it is taken out ends no process', async () => {
  const log = createLogger('key-service', 'silent');
  const pool = createPool(postgres.runtimeUrl, 2, log);
  const client = await pool.connect();
  const ended = new Promise((resolve) => client.once('end', resolve));
  const asking = client.query('SELECT pg_terminate_backend(pg_backend_pid())');
  await expect(asking).rejects.toThrow(/terminat/);
  await ended;
  client.release(true);
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await pool.end();
});
