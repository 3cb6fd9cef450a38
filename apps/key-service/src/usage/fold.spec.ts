import { randomUUID } from 'node:crypto';
import type { Key, Verdict } from '#contracts';
import type { Pool } from 'pg';
import { UsageJournal1700000006400 } from '../../../../migrations/1700000006400-usage-journal.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { seed, type Seed } from '../testing/seed.js';
import { LOG } from '../tokens.js';
import { Fold } from './fold.js';
import { writeBatch, writeGuardBatch } from './journal.js';
import { Pages } from './pages.js';
import { Partitions } from './partitions.js';
import { USAGE_POOL } from './usage.module.js';
import { Usage } from './usage.js';

let management: ManagementApp;
let world: Seed;
beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
});
afterAll(() => management.stop());

const pool = () => management.app.get<Pool>(USAGE_POOL);
const foldOf = (maxRows: number) => new Fold(pool(), management.app.get(Partitions), maxRows);
const sql = <T extends object>(text: string, values: unknown[] = []) =>
  management.postgres.owner.query<T[]>(text, values);
const dueIn = (interval: string) =>
  sql(`UPDATE keys.usage_fold SET next_at = clock_timestamp() + interval '${interval}'`);
const useOf = (keyId: string, lastMs: number) => {
  const kind = { service: 'service-a', secretNumber: 1, superseded: false, code: 'VALID' } as const;
  return { ...kind, keyId, minute: Math.floor(lastMs / 60_000), count: 1, lastMs };
};
/** Writes a row of the journal: a use of a key. */
const write = (keyId: string, lastMs = Date.now()) => {
  const counts = [useOf(keyId, lastMs)];
  const batch = { service: 'service-a', id: randomUUID(), counts, accepted: 1, ignored: 0 };
  return writeGuardBatch(pool(), batch);
};
const lastUseOf = async (id: string) => {
  const { body } = await management.call('get', `/v1/keys/${id}`, world.admin);
  return (body as Key).lastUsedAt;
};
const inMinutes = (keyId: string) => world.count('usage_minute', `key_id = '${keyId}'`);

describe('folding', () => {
  beforeEach(() => dueIn('20 seconds'));

  test('one time empties the journal, however many pages of it there are', async () => {
    const keys = [];
    for (let n = 0; n < 8; n++) keys.push((await world.issue()).key.id);
    for (const id of keys) await write(id);
    await foldOf(3).run();
    expect(await world.count('usage_journal')).toBe(0);
    for (const id of keys) expect(await lastUseOf(id)).not.toBeNull();
  });

  test('one time ends although a change holds keys of every page, and the next writes their last use', async () => {
    const keys = [];
    for (let n = 0; n < 4; n++) keys.push((await world.issue()).key.id);
    for (const id of keys) await write(id);
    const runner = management.postgres.owner.createQueryRunner();
    await runner.startTransaction();
    await runner.query('SELECT FROM keys.key WHERE id = ANY ($1) FOR UPDATE', [keys]);
    await foldOf(1).run();
    await runner.rollbackTransaction();
    await runner.release();
    for (const id of keys) expect(await lastUseOf(id)).toBeNull();
    await foldOf(1).run();
    for (const id of keys) expect(await lastUseOf(id)).not.toBeNull();
    expect(await world.count('usage_journal')).toBe(0);
  });

  test('a day whose partition cannot be made keeps back its own counts and no others', async () => {
    const [{ key: ofDay }, { key }] = [await world.issue(), await world.issue()];
    await sql(`CREATE TABLE keys.in_the_way PARTITION OF keys.usage_minute
      FOR VALUES FROM ('2031-05-05T12:00:00Z') TO ('2031-05-05T13:00:00Z')`);
    await write(ofDay.id, Date.parse('2031-05-05T01:00:00Z'));
    await write(key.id);
    await expect(foldOf(200).run()).rejects.toThrow('would overlap');
    expect([await inMinutes(ofDay.id), await inMinutes(key.id)]).toEqual([0, 1]);
    expect(await lastUseOf(key.id)).not.toBeNull();
    await sql('DROP TABLE keys.in_the_way');
    await foldOf(200).run();
    expect(await inMinutes(ofDay.id)).toBe(1);
    expect(await lastUseOf(ofDay.id)).toBe('2031-05-05T01:00:00.000Z');
  });

  test('going back to the schema without a journal keeps what is in it', async () => {
    const { key } = await world.issue();
    const usedAtMs = Date.parse('2031-06-06T01:00:00.250Z');
    for (const lastMs of [usedAtMs, usedAtMs - 100]) await write(key.id, lastMs);
    const runner = management.postgres.owner.createQueryRunner();
    await runner.startTransaction();
    await new UsageJournal1700000006400().down(runner);
    const read = async (text: string) => (await runner.query(text, [key.id])) as object[];
    const used = [{ at: new Date(usedAtMs) }];
    expect(await read('SELECT last_used_at AS at FROM keys.key WHERE id = $1')).toEqual(used);
    expect(await read('SELECT last_used_at AS at FROM keys.secret WHERE key_id = $1')).toEqual(
      used,
    );
    const counted = await read('SELECT count::int FROM keys.usage_by_hour WHERE key_id = $1');
    expect(counted).toEqual([{ count: 2 }]);
    await runner.rollbackTransaction();
    await runner.release();
    await foldOf(200).run();
  });
});

describe('the turn', () => {
  test('comes by itself: the last use of a key that was used is told', async () => {
    const { key, secret } = await world.issue();
    await dueIn('0 seconds');
    expect(await world.codeOf(secret)).toBe('VALID');
    while ((await lastUseOf(key.id)) === null);
    expect(await inMinutes(key.id)).toBe(1);
  });

  test('comes at once where PostgreSQL’s clock was set back, not when that time comes again', async () => {
    const { key } = await world.issue();
    const writer = randomUUID();
    const takesTurn = (number: number) => {
      const counts = [useOf(key.id, Date.now())];
      return writeBatch(pool(), writer, { number, counts, toMs: performance.now() });
    };
    await dueIn('19 seconds');
    expect(await takesTurn(1)).toBe(false);
    await dueIn('1 hour');
    const isMine = await takesTurn(2);
    // unless the process itself came first
    expect(await world.count('usage_fold', `next_at > now() + interval '20 seconds'`)).toBe(0);
    if (isMine) await foldOf(200).run();
    await sql('DELETE FROM keys.usage_writer WHERE id = $1', [writer]);
  });
});

test('a process that stops takes leave first, and waits for no fold that does not end', async () => {
  const writers = () => world.count('usage_writer');
  const left = await writers();
  const seen: number[] = [];
  const run = async () => {
    seen.push(await writers());
    await new Promise(() => undefined);
  };
  const log = management.app.get(LOG);
  const usage = new Usage({ pool: pool(), fold: { run }, log, now: () => Date.now() });
  await dueIn('20 seconds');
  await usage.start();
  expect(await writers()).toBe(left + 1);
  await usage.stop(500);
  expect(seen).toEqual([left]);
});

test('a process that stops waits for no statement that does not come back', async () => {
  const log = management.app.get(LOG);
  const fold = { run: () => Promise.resolve() };
  const usage = new Usage({ pool: pool(), fold, log, now: () => Date.now() });
  await usage.start();
  const runner = management.postgres.owner.createQueryRunner();
  await runner.startTransaction();
  await runner.query('LOCK TABLE keys.usage_writer IN ACCESS EXCLUSIVE MODE');
  usage.count({ service: 'service-a', isDry: false }, { code: 'NOT_FOUND' } as Verdict);
  let isWritten = false;
  const writing = usage.flush().finally(() => (isWritten = true));
  await usage.stop(500);
  expect(isWritten).toBe(false);
  await runner.rollbackTransaction();
  await runner.release();
  await writing;
});

describe('pages', () => {
  const sizesOf = async (pages: Pages, most: number) => {
    const sizes: number[] = [];
    const take = (size: number) => {
      sizes.push(size);
      return size > most ? Promise.reject(new Error('too much')) : Promise.resolve(0);
    };
    await pages.each(take).catch(() => undefined);
    return sizes;
  };

  test('are half as large after one that was too much, and grow slowly', async () => {
    const pages = new Pages(200);
    const sizes = [];
    for (let n = 0; n < 13; n++) sizes.push(...(await sizesOf(pages, 150)));
    expect(sizes).toEqual([200, 100, 120, 140, 160, 80, 100, 120, 140, 160, 80, 100, 120]);
    for (let n = 0; n < 20; n++) await sizesOf(pages, 0);
    expect(await sizesOf(pages, 0)).toEqual([1]);
  });

  test('are taken until one is not full', async () => {
    let left = 11;
    await new Pages(5).each((size) => {
      const taken = Math.min(left, size);
      left -= taken;
      return Promise.resolve(taken);
    });
    expect(left).toBe(0);
  });
});
