import { createLocalPool, inTransaction } from './local-database.js';
import { startLocalService, type LocalService } from './testing.js';

let service: LocalService;
beforeAll(async () => {
  service = await startLocalService();
});
afterAll(() => service?.stop());

it('has opened every connection before the first key comes, so that a busy start refuses none', async () => {
  const [row] = await service.postgres.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'keyward service-a'`,
  );
  expect(row?.count).toBe(8);
});

it('lets a question wait for its turn while every connection is busy', async () => {
  const pool = createLocalPool(service.env['SERVICE_A_DATABASE_URL']!);
  try {
    const busy = Array.from({ length: 8 }, () => pool.query('SELECT pg_sleep(1)'));
    await expect(pool.query('SELECT 1')).resolves.toBeDefined();
    await Promise.all(busy);
  } finally {
    await pool.end();
  }
});

it('ends no process where a connection ends in the middle of a change', async () => {
  const pool = createLocalPool(service.env['SERVICE_A_DATABASE_URL']!);
  try {
    const change = inTransaction(pool, (client) =>
      client.query('SELECT pg_terminate_backend(pg_backend_pid())'),
    );
    await expect(change).rejects.toThrow(/terminat/);
    await expect(pool.query('SELECT 1')).resolves.toBeDefined();
  } finally {
    await pool.end();
  }
});
