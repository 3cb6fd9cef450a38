import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'pg';
import type { Key } from '#contracts';
import {
  startManagement,
  type ManagementApp,
} from '../apps/key-service/src/testing/management-app.js';
import { seed, type Seed } from '../apps/key-service/src/testing/seed.js';
import { migrate, MIGRATIONS, revertLast } from './migrate.js';
import { PlaceOfSecrets1700000006500 } from './1700000006500-place-of-secrets.js';

const NAMES = MIGRATIONS.map((one) => one.name);
/** What came with the places of secrets, and after. */
const SINCE = NAMES.slice(NAMES.indexOf(PlaceOfSecrets1700000006500.name));
/** More than the places that one transaction gives, and then some. */
const OLD_KEYS = 12_000;

let management: ManagementApp;
let world: Seed;
beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
});
afterAll(() => management.stop());

const owner = <T>(sql: string, values: unknown[] = []) =>
  management.postgres.owner.query<T>(sql, values);
const list = async (query: string) => {
  const { body } = await management.call('get', `/v1/keys?${query}`, world.admin);
  return (body as { data: Key[] }).data;
};

test('keys that were there before a migration are listed after it as they were', async () => {
  const { key } = await world.issue({ name: 'rotated', tags: ['old'] });
  await world.issue({ name: 'plain' });
  const { call, postgres } = management;
  await call('post', `/v1/keys/${key.id}/rotate`, world.admin).send({ overlapSeconds: 60 });
  const before = await list('');
  expect(before.map((one) => one.rotation?.state)).toEqual([undefined, 'overlapping']);

  for (const _ of SINCE) await revertLast(postgres.ownerUrl);
  await addOldKeys(key.id);
  expect(await migrate({ ownerUrl: postgres.ownerUrl })).toEqual(SINCE);

  expect(await list('q=rotated')).toEqual([before[1]]);
  expect(await list('tag=old&status=active&limit=1')).toMatchObject([
    { name: `old ${OLD_KEYS}`, grants: before[1]!.grants, hint: { prefix: 'kw', last4: 'Old1' } },
  ]);
  expect(await list('tag=old&q=old%20119&limit=200')).toHaveLength(111);
  const misplaced = `SELECT count(*)::int AS count FROM keys.secret s JOIN keys.key k ON k.id = s.key_id WHERE s.key_seq IS DISTINCT FROM k.seq`;
  expect(await owner(misplaced)).toEqual([{ count: 0 }]);
  const bare =
    'SELECT count(*)::int AS count FROM keys.key WHERE grants IS NULL OR hint_last4 IS NULL';
  expect(await owner(bare)).toEqual([{ count: 0 }]);
});

/** As the versions before made them: with a secret and the grants of another key each. */
async function addOldKeys(like: string): Promise<void> {
  const id = `'key_' || lpad(n::text, 16, '0')`;
  await owner(
    `INSERT INTO keys.key (id, name, consumer, environment, created_by, tags)
       SELECT ${id}, 'old ' || n, 'service-b', 'live', 'tester', '{old}' FROM generate_series(1, ${OLD_KEYS}) AS n ORDER BY n`,
  );
  await owner(
    `INSERT INTO keys.secret (key_id, number, digest, pepper_version, prefix, last4)
       SELECT ${id}, 1, sha256((${id})::bytea), 1, 'kw', 'Old1' FROM generate_series(1, ${OLD_KEYS}) AS n`,
  );
  await owner(
    `INSERT INTO keys.key_grant (key_id, service, scopes)
       SELECT ${id}, g.service, g.scopes FROM keys.key_grant g, generate_series(1, ${OLD_KEYS}) AS n WHERE g.key_id = $1`,
    [like],
  );
}

test('a migration that waits for a long transaction lets others past, and is done when that ends', async () => {
  const { ownerUrl } = management.postgres;
  for (const _ of SINCE) await revertLast(ownerUrl);
  const [long, other] = [1, 2].map(() => new Client({ connectionString: ownerUrl })) as [
    Client,
    Client,
  ];
  await Promise.all([long.connect(), other.connect()]);
  try {
    await long.query('BEGIN; SELECT FROM keys.secret LIMIT 1');
    const migrating = migrate({ ownerUrl });
    await untilWaiting('keys.secret');
    await other.query(`SET statement_timeout = '60s'`);
    await other.query('SELECT FROM keys.secret LIMIT 1');
    await other.query('UPDATE keys.secret SET valid_until = NULL WHERE false');
    expect(await columnsOfPlaces()).toBe(0);
    await long.query('COMMIT');
    await expect(migrating).resolves.toEqual(SINCE);
    expect(await columnsOfPlaces()).toBe(1);
  } finally {
    await Promise.all([long.end(), other.end()]);
  }
});

async function untilWaiting(table: string): Promise<void> {
  const waiting = `SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass`;
  while ((await owner<unknown[]>(waiting, [table])).length === 0) await pause(5);
}

async function columnsOfPlaces(): Promise<number> {
  const columns = await owner<unknown[]>(
    `SELECT FROM information_schema.columns WHERE table_schema = 'keys' AND table_name = 'secret' AND column_name = 'key_seq'`,
  );
  return columns.length;
}
