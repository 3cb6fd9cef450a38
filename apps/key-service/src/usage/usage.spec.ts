import { randomUUID } from 'node:crypto';
import type { TakenUsage, UsageEntry, UsageReport } from '#contracts';
import type { Pool } from 'pg';
import { awayFromMidnight, MIDNIGHT_LIMIT_MS } from '../../../../test/support/midnight.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { problemIn, seed, type Seed } from '../testing/seed.js';
import { Housekeeping } from './housekeeping.js';
import { LOG } from '../tokens.js';
import { Fold } from './fold.js';
import { writeBatch } from './journal.js';
import { Partitions } from './partitions.js';
import { Usage } from './usage.js';
import { USAGE_POOL } from './usage.module.js';

let management: ManagementApp;
let world: Seed;
let now: () => number;
beforeAll(async () => {
  await awayFromMidnight();
  management = await startManagement();
  world = await seed(management);
  ({ now } = management.material);
}, MIDNIGHT_LIMIT_MS);
afterAll(() => management.stop());
afterEach(() => {
  management.material.now = now;
});

const usage = () => management.app.get(Usage);
const housekeeping = () => management.app.get(Housekeeping);
/** Writes what was counted, and adds it to the minutes and to the keys. */
const flush = async () => {
  await usage().flush();
  await usage().fold();
};
const at = (time: string) => {
  management.material.now = () => Date.parse(time);
};
const sql = <T extends object>(text: string, values: unknown[] = []) =>
  management.postgres.owner.query<T[]>(text, values);
const countsOf = (keyId: string) =>
  sql(
    `SELECT service, secret, superseded, code, sum(count)::int AS count FROM keys.usage_by_minute
     WHERE key_id = $1 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`,
    [keyId],
  );
const untilSomeoneWaits = async () => {
  for (let tries = 0; tries < 500; tries++) {
    const waiting = await sql(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'`);
    if (waiting.length > 0) return;
  }
  throw new Error('Nobody waited');
};
const read = async (query: string, token = world.admin) =>
  management.call('get', `/v1/usage?${query}`, token);
const pointsOf = async (query: string) =>
  ((await read(query)).body as UsageReport).data.map(({ from, counts }) => ({ from, ...counts }));
const report = async (entries: Partial<UsageEntry>[], batchId: string = randomUUID()) => {
  const token = await management.issuer.service('service-a', 'keys:verify');
  return management.call('post', '/v1/usage', token).send({ batchId, entries });
};
const entry = (keyId: string, over: Partial<UsageEntry> = {}): UsageEntry => ({
  keyId,
  code: 'VALID',
  minute: new Date(management.material.now()).toISOString(),
  count: 1,
  ...over,
});

describe('counting', () => {
  test('verifications are counted by key, secret, service and outcome', async () => {
    const { key, secret } = await world.issue();
    for (let n = 0; n < 3; n++) expect(await world.codeOf(secret)).toBe('VALID');
    expect(await world.codeOf(secret, 'service-x')).toBe('NOT_FOUND');
    expect(await world.codeOf('junk')).toBe('MALFORMED');
    await flush();
    expect(await countsOf(key.id)).toEqual([
      { service: 'service-a', secret: 1, superseded: false, code: 'VALID', count: 3 },
    ]);
    expect(await countsOf('')).toEqual([
      { service: 'service-a', secret: 0, superseded: false, code: 'MALFORMED', count: 1 },
      { service: 'service-x', secret: 0, superseded: false, code: 'NOT_FOUND', count: 1 },
    ]);
  });

  test('no verification waits for a write, and all are counted once PostgreSQL takes writes again', async () => {
    const { key, secret } = await world.issue();
    const runner = management.postgres.owner.createQueryRunner();
    await runner.startTransaction();
    // whoever would write a row, or lock one, waits; who reads does not
    await runner.query(
      'LOCK TABLE keys.usage_journal, keys.usage_writer, keys.key, keys.secret, keys.change_head IN EXCLUSIVE MODE',
    );
    for (let i = 0; i < 3; i += 1) expect(await world.codeOf(secret)).toBe('VALID');
    await runner.rollbackTransaction();
    await runner.release();
    await flush();
    expect(await countsOf(key.id)).toMatchObject([{ code: 'VALID', count: 3 }]);
  });

  test('a dry run is not counted', async () => {
    const { key, secret } = await world.issue();
    const token = await management.issuer.service('service-a', 'keys:verify');
    const answer = await management
      .call('post', '/v1/keys/verify', token)
      .send({ key: secret, dryRun: true });
    expect(answer.body).toMatchObject({ code: 'VALID' });
    await flush();
    expect(await countsOf(key.id)).toEqual([]);
  });

  test('the last use of a key and of its secret is told, and changes nothing else', async () => {
    const { key, secret } = await world.issue();
    const changes = await world.count('change_log');
    await world.codeOf(secret);
    await flush();
    const { body } = await management.call('get', `/v1/keys/${key.id}`, world.admin);
    const { lastUsedAt } = body as { lastUsedAt: string };
    expect(body).toEqual({ ...key, lastUsedAt });
    expect(Math.abs(Date.parse(lastUsedAt) - now())).toBeLessThan(60_000);
    const [row] = await sql<{ at: Date }>(
      'SELECT last_used_at AS at FROM keys.secret WHERE key_id = $1',
      [key.id],
    );
    expect(row!.at.toISOString()).toBe(lastUsedAt);
    expect(await world.count('change_log')).toBe(changes);
  });

  test('only a valid use is a use', async () => {
    const { key, secret } = await world.issue({
      notBefore: '2100-01-01T00:00:00Z',
      expiresAt: null,
    });
    expect(await world.codeOf(secret)).toBe('NOT_YET_VALID');
    await flush();
    const { body } = await management.call('get', `/v1/keys/${key.id}`, world.admin);
    expect(body).toMatchObject({ lastUsedAt: null });
  });

  test('a change that holds a key is not waited for; its last use is written after it', async () => {
    const { key, secret } = await world.issue();
    const runner = management.postgres.owner.createQueryRunner();
    await runner.startTransaction();
    await runner.query('SELECT FROM keys.key WHERE id = $1 FOR UPDATE', [key.id]);
    await world.codeOf(secret);
    await flush();
    expect(await countsOf(key.id)).toMatchObject([{ code: 'VALID', count: 1 }]);
    await runner.rollbackTransaction();
    await runner.release();
    const isUsed = () => world.count('key', `id = '${key.id}' AND last_used_at IS NOT NULL`);
    expect(await isUsed()).toBe(0);
    await flush();
    expect(await isUsed()).toBe(1);
  });
});

describe('the journal', () => {
  const pool = () => management.app.get<Pool>(USAGE_POOL);
  const another = () => new Fold(pool(), management.app.get(Partitions));
  const waitFor = (interval: string) =>
    sql(`UPDATE keys.usage_fold SET next_at = now() + interval '${interval}'`);
  const lastUses = (keyId: string) =>
    sql<{ key: Date | null; secret: Date | null }>(
      `SELECT k.last_used_at AS key, s.last_used_at AS secret FROM keys.key k JOIN keys.secret s ON s.key_id = k.id WHERE k.id = $1`,
      [keyId],
    );
  beforeEach(() => waitFor('20 seconds'));
  afterAll(() => waitFor('0 seconds'));

  test('what is written is in every report before it is among the minutes, and not twice after that', async () => {
    const { key, secret } = await world.issue();
    for (let n = 0; n < 3; n++) expect(await world.codeOf(secret)).toBe('VALID');
    await usage().flush();
    await report([entry(key.id, { count: 2, secretNumber: 1 })]);
    const reported = () =>
      Promise.all(
        ['minute', 'hour', 'day'].map(async (granularity) => {
          const points = await pointsOf(`keyId=${key.id}&granularity=${granularity}`);
          return points.reduce((sum, { VALID = 0 }) => sum + VALID, 0);
        }),
      );
    const isCounted = () => world.count('usage_minute', `key_id = '${key.id}'`);
    expect([await isCounted(), await reported()]).toEqual([0, [5, 5, 5]]);
    await usage().fold();
    expect(await isCounted()).toBeGreaterThan(0);
    expect(await reported()).toEqual([5, 5, 5]);
    expect(await world.count('usage_journal')).toBe(0);
    await usage().fold();
    expect(await reported()).toEqual([5, 5, 5]);
  });

  test('several that empty it while others write count nothing twice, and leave nothing out', async () => {
    const { key, secret } = await world.issue();
    const progress = { isDone: false };
    const folding = [another(), another(), another()].map(async (one) => {
      while (!progress.isDone) await one.run();
    });
    let count = 0;
    for (let n = 0; n < 40; n++, count++) {
      await world.codeOf(secret);
      await usage().flush();
      await report([entry(key.id, { secretNumber: 1 })]);
      expect(await countsOf(key.id)).toMatchObject([{ count: 2 * (n + 1) }]);
    }
    progress.isDone = true;
    await Promise.all(folding);
    await usage().fold();
    const [{ sum }] = (await sql<{ sum: number }>(
      'SELECT sum(count)::int FROM keys.usage_minute WHERE key_id = $1',
      [key.id],
    )) as [{ sum: number }];
    expect(sum).toBe(2 * count);
    expect(await world.count('usage_journal')).toBe(0);
  });

  test('what is counted while counts are written waits for the next second', async () => {
    const { key } = await world.issue();
    const own = new Usage({
      pool: pool(),
      fold: another(),
      log: management.app.get(LOG),
      now: () => now(),
    });
    const count = () =>
      own.add({
        ...{ keyId: key.id, secretNumber: 1, superseded: false },
        ...{ service: 'service-a', code: 'VALID' },
      });
    count();
    const runner = management.postgres.owner.createQueryRunner();
    await runner.startTransaction();
    await runner.query('LOCK TABLE keys.usage_journal IN ACCESS EXCLUSIVE MODE');
    const flushed = own.flush();
    await untilSomeoneWaits();
    count();
    count();
    await runner.rollbackTransaction();
    await runner.release();
    await flushed;
    expect(await countsOf(key.id)).toMatchObject([{ count: 1 }]);
    await own.stop();
    expect(await countsOf(key.id)).toMatchObject([{ count: 3 }]);
  });

  test('a process that ends between counting and the last uses leaves them to the next', async () => {
    const { key, secret } = await world.issue();
    await world.codeOf(secret);
    await usage().flush();
    const runner = management.postgres.owner.createQueryRunner();
    await runner.startTransaction();
    await runner.query('LOCK TABLE keys.key IN ACCESS EXCLUSIVE MODE');
    const ending = another()
      .run()
      .then(
        () => 'done',
        () => 'ended',
      );
    await untilSomeoneWaits();
    await runner.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%last_used_at%'`,
    );
    expect(await ending).toBe('ended');
    await runner.rollbackTransaction();
    await runner.release();
    expect(await lastUses(key.id)).toEqual([{ key: null, secret: null }]);
    expect(await countsOf(key.id)).toMatchObject([{ code: 'VALID', count: 1 }]);
    await another().run();
    expect(await countsOf(key.id)).toMatchObject([{ code: 'VALID', count: 1 }]);
    const [used] = await lastUses(key.id);
    expect(used!.key).toBeInstanceOf(Date);
    expect(used!.secret).toEqual(used!.key);
    expect(await world.count('usage_journal')).toBe(0);
  });

  test('of several processes one empties it when it is due, and nobody while there is nothing in it', async () => {
    await usage().fold();
    const { key } = await world.issue();
    const count = { keyId: key.id, secretNumber: 1, superseded: false, service: 'service-a' };
    const counts = [
      {
        ...count,
        code: 'VALID' as const,
        minute: Math.floor(now() / 60_000),
        count: 1,
        lastMs: now(),
      },
    ];
    const writers = Array.from({ length: 4 }, () => randomUUID());
    const turns = async (number: number, what: typeof counts) => {
      const batch = { number, counts: what, toMs: performance.now() };
      const taken = await Promise.all(writers.map((writer) => writeBatch(pool(), writer, batch)));
      return taken.filter((isTurn) => isTurn).length;
    };
    await waitFor('0 seconds');
    expect(await turns(1, [])).toBe(0);
    expect(await turns(2, counts)).toBe(1);
    expect(await turns(3, counts)).toBe(0);
    await waitFor('0 seconds');
    expect(await turns(4, [])).toBe(1);
    await sql('DELETE FROM keys.usage_writer WHERE id = ANY ($1)', [writers]);
    await usage().fold();
  });
});

describe('roll-up', () => {
  const SAME = `SELECT
    (SELECT json_agg(x ORDER BY x::text) FROM (SELECT key_id, code, sum(count) FROM keys.usage_by_minute GROUP BY 1, 2) x)::text AS minutes,
    (SELECT json_agg(x ORDER BY x::text) FROM (SELECT key_id, code, sum(count) FROM keys.usage_by_hour GROUP BY 1, 2) x)::text AS hours,
    (SELECT json_agg(x ORDER BY x::text) FROM (SELECT key_id, code, sum(count) FROM keys.usage_by_day GROUP BY 1, 2) x)::text AS days`;
  const expectSame = async () => {
    const [row] = await sql<{ minutes: string; hours: string; days: string }>(SAME);
    expect(row!.hours).toBe(row!.minutes);
    expect(row!.days).toBe(row!.minutes);
  };

  test('partitions are there over the end of a month, and hours and days sum up to the minutes', async () => {
    const { key, secret } = await world.issue({ expiresAt: null });
    for (const time of [
      '2027-01-31T22:10:00Z',
      '2027-01-31T23:59:59.999Z',
      '2027-02-01T00:00:00Z',
      '2027-02-01T00:59:59Z',
      '2027-02-02T12:00:00Z',
    ]) {
      at(time);
      expect(await world.codeOf(secret)).toBe('VALID');
    }
    await flush();
    await expectSame();
    const byDay = [
      { from: '2027-01-31T00:00:00.000Z', VALID: 2 },
      { from: '2027-02-01T00:00:00.000Z', VALID: 2 },
      { from: '2027-02-02T00:00:00.000Z', VALID: 1 },
    ];
    const range = `keyId=${key.id}&from=2027-01-31T00:00:00Z&to=2027-02-03T00:00:00Z`;
    expect(await pointsOf(`${range}&granularity=day`)).toEqual(byDay);

    at('2027-02-03T00:03:00Z');
    await housekeeping().run();
    expect(
      await sql('SELECT at FROM keys.usage_stale_hour UNION SELECT at FROM keys.usage_stale_day'),
    ).toEqual([]);
    const summed = (table: string) =>
      sql(`SELECT at, count::int FROM keys.${table} WHERE key_id = $1 ORDER BY at`, [key.id]);
    expect(await summed('usage_day')).toEqual(
      byDay.map(({ from, VALID }) => ({ at: new Date(from), count: VALID })),
    );
    expect(await summed('usage_hour')).toHaveLength(4);
    expect(await pointsOf(`${range}&granularity=day`)).toEqual(byDay);
    await expectSame();
  });

  test('what is counted late is in the sums at once, and again after the next roll-up', async () => {
    const { key, secret } = await world.issue({ expiresAt: null });
    at('2027-03-31T23:30:00Z');
    await world.codeOf(secret);
    await flush();
    at('2027-04-01T00:10:00Z');
    await housekeeping().run();
    const late = entry(key.id, { minute: '2027-03-31T23:20:00Z', count: 4 });
    expect((await report([late])).body).toEqual({ accepted: 1, ignored: 0 });
    const range = `keyId=${key.id}&from=2027-03-31T00:00:00Z&to=2027-04-01T00:00:00Z`;
    const expected = [{ from: '2027-03-31T23:00:00.000Z', VALID: 5 }];
    expect(await pointsOf(`${range}&granularity=hour`)).toEqual(expected);
    await housekeeping().run();
    expect(await pointsOf(`${range}&granularity=hour`)).toEqual(expected);
    await usage().fold();
    await housekeeping().run();
    expect(await pointsOf(`${range}&granularity=hour`)).toEqual(expected);
    await expectSame();
  });

  test('rolling up while counts are written, by two at once, loses none and counts none twice', async () => {
    const { key, secret } = await world.issue({ expiresAt: null });
    const { material, app } = management;
    const other = new Housekeeping({
      pool: app.get(USAGE_POOL),
      log: app.get(LOG),
      partitions: app.get(Partitions),
      now: () => material.now(),
    });
    const progress = { isDone: false };
    const rolling = [housekeeping(), other].map(async (one) => {
      while (!progress.isDone) await one.run();
    });
    let count = 0;
    for (let n = 0; n < 60; n++) {
      // each hour twice, once when it has been over for long
      at(new Date(Date.parse('2027-05-31T00:00:00Z') + (n % 30) * 3_600_000).toISOString());
      for (; count < n * 3; count++) await world.codeOf(secret);
      at('2027-06-30T00:00:00Z');
      await flush();
    }
    progress.isDone = true;
    await Promise.all(rolling);
    await housekeeping().run();
    await expectSame();
    const [{ sum }] = (await sql<{ sum: number }>(
      'SELECT sum(count)::int FROM keys.usage_hour WHERE key_id = $1',
      [key.id],
    )) as [{ sum: number }];
    expect(sum).toBe(count);
  });

  test('an hour is not summed while counts of it are on their way', async () => {
    const { key, secret } = await world.issue({ expiresAt: null });
    at('2027-09-01T10:30:00Z');
    await world.codeOf(secret);
    await flush();
    const runner = management.postgres.owner.createQueryRunner();
    await runner.startTransaction();
    await runner.query('SELECT FROM keys.usage_minute WHERE key_id = $1 FOR UPDATE', [key.id]);
    await world.codeOf(secret);
    const flushing = flush();
    await untilSomeoneWaits();
    at('2027-09-01T12:30:00Z');
    const rolling = housekeeping().run();
    await Promise.race([rolling, new Promise((resolve) => setTimeout(resolve, 500))]);
    await runner.commitTransaction();
    await runner.release();
    await Promise.all([flushing, rolling]);
    await expectSame();
    await housekeeping().run();
    const summed = await sql('SELECT count::int FROM keys.usage_hour WHERE key_id = $1', [key.id]);
    expect(summed).toEqual([{ count: 2 }]);
  });

  test('minutes are dropped after 14 days, hours after 400; days stay', async () => {
    const keep = (daysAgo: number) =>
      sql(
        `SELECT keys.keep_usage_partitions(now() - $1 * interval '1 day', now() - $1 * interval '1 day')`,
        [daysAgo],
      );
    const partitions = async () =>
      (
        await sql<{ name: string }>(
          `SELECT relname AS name FROM pg_class WHERE relnamespace = 'keys'::regnamespace AND relname ~ '^usage_.*_[0-9]+$' AND relkind = 'r'`,
        )
      ).map((row) => row.name);
    const [old] = await sql<{ day: string; month: string }>(
      `SELECT to_char((now() - interval '450 days') AT TIME ZONE 'UTC', 'YYYYMMDD') AS day, to_char((now() - interval '450 days') AT TIME ZONE 'UTC', 'YYYYMM') AS month`,
    );
    await keep(450);
    const made = [
      `usage_minute_${old!.day}`,
      `usage_hour_${old!.month}`,
      `usage_day_${old!.month}`,
    ];
    expect(await partitions()).toEqual(expect.arrayContaining(made));
    await keep(10);
    await keep(0);
    const left = await partitions();
    expect(made.map((name) => left.includes(name))).toEqual([false, false, true]);
    const [recent] = await sql<{ day: string }>(
      `SELECT to_char((now() - interval '10 days') AT TIME ZONE 'UTC', 'YYYYMMDD') AS day`,
    );
    expect(left).toContain(`usage_minute_${recent!.day}`);
  });
});

describe('POST /v1/usage', () => {
  test('a batch counts once, however often it is sent, at the same time too', async () => {
    const { key } = await world.issue();
    const batchId = randomUUID();
    const entries = [
      entry(key.id, { count: 5, secretNumber: 1 }),
      entry(key.id, { count: 2, secretNumber: 1 }),
      entry(key.id, { count: 3, code: 'INSUFFICIENT_SCOPE' }),
    ];
    const answers = await Promise.all(Array.from({ length: 8 }, () => report(entries, batchId)));
    for (const { status, body } of answers)
      expect([status, body]).toEqual([200, { accepted: 3, ignored: 0 } satisfies TakenUsage]);
    expect(await countsOf(key.id)).toEqual([
      { service: 'service-a', secret: 0, superseded: false, code: 'INSUFFICIENT_SCOPE', count: 3 },
      { service: 'service-a', secret: 1, superseded: false, code: 'VALID', count: 7 },
    ]);
  });

  test('of keys of other services, and of other times, nothing is counted', async () => {
    const { key } = await world.issue();
    const grants = [{ service: 'service-x', scopes: ['things:read'] }];
    const foreign = (await world.issue({ grants })).key;
    const shifted = (ms: number) => new Date(now() + ms).toISOString();
    const { body } = await report([
      entry(foreign.id),
      entry('key_0000000000000000'),
      entry(key.id, { minute: shifted(-3_660_000) }),
      entry(key.id, { minute: shifted(180_000) }),
      entry(key.id, { minute: shifted(-3_500_000) }),
    ]);
    expect(body).toEqual({ accepted: 1, ignored: 4 });
    expect(await countsOf(foreign.id)).toEqual([]);
    expect(await countsOf(key.id)).toMatchObject([{ count: 1 }]);
  });

  test('a full batch fits; one more entry, a bad id or an unknown code is refused', async () => {
    const { key } = await world.issue();
    const full = Array.from({ length: 1_000 }, () =>
      entry(key.id, { code: 'INSUFFICIENT_SCOPE', secretNumber: 1_000_000_000, superseded: true }),
    );
    expect((await report(full)).body).toEqual({ accepted: 1_000, ignored: 0 });
    const invalid = { status: 400, code: 'INVALID_REQUEST' };
    expect(problemIn(await report([...full, entry(key.id)]))).toMatchObject(invalid);
    expect(problemIn(await report([entry(key.id)], 'x'))).toMatchObject(invalid);
    expect(problemIn(await report([]))).toMatchObject(invalid);
    const unknown = [{ ...entry(key.id), code: 'FINE' }] as never;
    expect(problemIn(await report(unknown))).toMatchObject(invalid);
  });

  test('only a service with keys:verify may report', async () => {
    const body = { batchId: randomUUID(), entries: [entry('key_0000000000000000')] };
    const tokens = [world.admin, await management.issuer.service('service-a')];
    for (const token of tokens) {
      const answer = await management.call('post', '/v1/usage', token).send(body);
      expect(problemIn(answer)).toEqual({ status: 403, code: 'FORBIDDEN' });
    }
    const answer = await management.call('post', '/v1/usage', null).send(body);
    expect(problemIn(answer)).toEqual({ status: 401, code: 'UNAUTHENTICATED' });
  });
});

describe('GET /v1/usage', () => {
  test('counts by outcome, for a key, a consumer or a service, in any granularity', async () => {
    await management.call('post', '/v1/consumers', world.admin).send({ slug: 'service-c' });
    const { key, secret } = await world.issue({ consumer: 'service-c', expiresAt: null });
    at('2027-07-01T10:00:30Z');
    await world.codeOf(secret);
    await management.call('post', `/v1/keys/${key.id}/disable`, world.admin);
    await world.codeOf(secret);
    at('2027-07-01T10:01:00Z');
    await world.codeOf(secret);
    await flush();
    const range = 'from=2027-07-01T10:00:00Z&to=2027-07-01T10:02:00Z';
    const { body } = await read(`keyId=${key.id}&${range}&granularity=minute`);
    expect(body).toEqual({
      from: '2027-07-01T10:00:00.000Z',
      to: '2027-07-01T10:02:00.000Z',
      granularity: 'minute',
      data: [
        { from: '2027-07-01T10:00:00.000Z', counts: { VALID: 1, DISABLED: 1 }, total: 2 },
        { from: '2027-07-01T10:01:00.000Z', counts: { DISABLED: 1 }, total: 1 },
      ],
    } satisfies UsageReport);
    const hour = [{ from: '2027-07-01T10:00:00.000Z', VALID: 1, DISABLED: 2 }];
    expect(await pointsOf(`consumer=service-c&${range}`)).toEqual(hour);
    expect(await pointsOf(`service=service-a&${range}`)).toEqual(hour);
    expect(await pointsOf(`service=service-x&${range}`)).toEqual([]);
    expect(await pointsOf(`consumer=service-b&${range}`)).toEqual([]);
    expect(await pointsOf('')).toEqual(hour);
  });

  test('an admin of one service sees the usage at that service only', async () => {
    const { key, secret } = await world.issue({ expiresAt: null });
    at('2027-08-01T10:00:00Z');
    await world.codeOf(secret);
    await world.codeOf('junk', 'service-x');
    await flush();
    const ofX = await management.issuer.person('usr_x', { services: ['service-x'] });
    const seen = await read('', ofX);
    expect((seen.body as UsageReport).data).toEqual([
      { from: '2027-08-01T10:00:00.000Z', counts: { MALFORMED: 1 }, total: 1 },
    ]);
    const unknown = await read('keyId=key_0000000000000000', ofX);
    const foreign = await read(`keyId=${key.id}`, ofX);
    expect([problemIn(unknown), problemIn(foreign)]).toEqual(
      Array(2).fill({ status: 404, code: 'NOT_FOUND' }),
    );
  });

  test.each([
    ['from=2027-01-01T00:00:00Z&to=2027-01-01T00:00:00Z', '/from'],
    ['from=2027-01-02T00:00:00Z&to=2027-01-01T00:00:00Z', '/from'],
    ['from=2027-01-01T00:00:00Z&to=2027-01-03T00:00:00Z&granularity=minute', '/from'],
    ['granularity=second', '/granularity'],
    ['from=yesterday', '/from'],
    ['keyId=1', '/keyId'],
  ])('%s is refused', async (query, pointer) => {
    expect(problemIn(await read(query))).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: [pointer],
    });
  });
});
