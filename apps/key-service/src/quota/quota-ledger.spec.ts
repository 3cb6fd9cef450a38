import { setImmediate as nextTurn } from 'node:timers/promises';
import type pg from 'pg';
import { createLogger } from '#server';
import { startProxy, type Proxy } from '../../../../test/support/proxy.js';
import { createPool } from '../database.js';
import { startPostgres, type TestPostgres } from '../testing/postgres.js';
import { QuotaLedger } from './quota-ledger.js';

let postgres: TestPostgres;
let proxy: Proxy;
let pool: pg.Pool;

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await startProxy(postgres.runtimeUrl);
  const log = createLogger('key-service', 'silent');
  pool = createPool(proxy.through(postgres.runtimeUrl), 2, log);
});
afterAll(async () => {
  await pool?.end();
  await proxy?.close();
  await postgres?.stop();
});

test.each(['lease', 'spend'] as const)(
  'who waits behind a statement (%s) that PostgreSQL never answers fails with it, and does not wait for another',
  async (purpose) => {
    const ledger = new QuotaLedger(pool);
    const take = () =>
      ledger.take('key_0000000000000000', { setting: 1, limit: 10 }, { cost: 1, purpose }).then(
        () => 'taken',
        () => 'failed',
      );
    proxy.blackhole(true);
    const first = take();
    const behind = [take(), take()];
    expect(await first).toBe('failed');
    const waits = nextTurn('waits');
    const told = await Promise.all(behind.map((one) => Promise.race([one, waits])));
    proxy.blackhole(false);
    expect(told).toEqual(['failed', 'failed']);
    await Promise.all(behind);
  },
);
