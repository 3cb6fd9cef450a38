import { Redis } from 'ioredis';
import type { Key } from '#contracts';
import { awayFromMidnight, MIDNIGHT_LIMIT_MS } from '../../../../test/support/midnight.js';
import { startReplicas, type Replicas } from '../testing/replicas.js';
import { seed, type Seed } from '../testing/seed.js';

describe('quota', () => {
  let replicas: Replicas;
  let seeded: Seed;

  beforeAll(async () => {
    await awayFromMidnight();
    replicas = await startReplicas(3);
    seeded = await seed(replicas);
  }, MIDNIGHT_LIMIT_MS);

  afterAll(() => replicas?.stop());

  const remainingOf = async (id: string): Promise<unknown> => {
    const { body } = await replicas.call('get', `/v1/keys/${id}`, seeded.admin);
    return (body as Key).quota?.remaining;
  };

  it.each([
    { limit: 1, calls: 1_000, cost: 1, allowed: 1 },
    { limit: 100, calls: 300, cost: 1, allowed: 100 },
    { limit: 500, calls: 500, cost: 10, allowed: 50 },
    { limit: 1_000, calls: 1_500, cost: 1, allowed: 1_000 },
    { limit: 5_000, calls: 1_000, cost: 7, allowed: 714 },
  ])(
    'of $limit units allows exactly $allowed of $calls simultaneous calls that cost $cost, over 3 replicas',
    async ({ limit, calls, cost, allowed }) => {
      const { key, secret } = await seeded.issue({ quota: { limit } });
      const codes = await replicas.flood(calls, { key: secret, cost });
      expect(codes).toEqual({ VALID: allowed, QUOTA_EXCEEDED: calls - allowed });
      expect(await remainingOf(key.id)).toBe(limit - allowed * cost);
    },
  );

  it('tells in a verdict what is left, and when it is refilled', async () => {
    const { secret } = await seeded.issue({ quota: { limit: 3 } });
    const asked = [];
    for (const cost of [1, 1, 2]) asked.push((await replicas.ask(0, { key: secret, cost })).body);
    expect(asked.map((one) => [one.code, one.quota, one.retryAfterSeconds])).toEqual([
      ['VALID', { limit: 3, remaining: 2, resetsAt: null }, undefined],
      ['VALID', { limit: 3, remaining: 1, resetsAt: null }, undefined],
      ['QUOTA_EXCEEDED', { limit: 3, remaining: 1, resetsAt: null }, undefined],
    ]);
    const daily = await seeded.issue({
      quota: { limit: 1, refill: { amount: 1, every: 'day' } },
    });
    await replicas.ask(0, { key: daily.secret });
    const { body } = await replicas.ask(1, { key: daily.secret });
    const now = new Date();
    const midnight = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + 1);
    expect(body).toMatchObject({ valid: false, code: 'QUOTA_EXCEEDED' });
    expect(body.quota).toEqual({
      limit: 1,
      remaining: 0,
      resetsAt: new Date(midnight).toISOString(),
    });
    expect(Math.abs(midnight - now.getTime() - body.retryAfterSeconds! * 1_000)).toBeLessThan(
      60_000,
    );
  });

  it.each([
    {
      every: 'day',
      refills: (at: Date) => Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate() + 3),
    },
    {
      every: 'month',
      refills: (at: Date) => Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 3, 1),
    },
  ] as const)(
    'names the $every by which as much has come back as is asked for, not the next one',
    async ({ every, refills }) => {
      const quota = { limit: 100, refill: { amount: 10, every } };
      const { secret } = await seeded.issue({ quota });
      await replicas.ask(0, { key: secret, cost: 95 });
      const { body } = await replicas.ask(1, { key: secret, cost: 35 });
      const now = new Date();
      expect(body).toMatchObject({ code: 'QUOTA_EXCEEDED', quota: { remaining: 5 } });
      const named = now.getTime() + body.retryAfterSeconds! * 1_000;
      expect(Math.abs(refills(now) - named)).toBeLessThan(60_000);
    },
  );

  it('is not spent by what is refused, nor by a dry run', async () => {
    const { key, secret } = await seeded.issue({
      quota: { limit: 10 },
      rateLimits: [{ name: 'hour', limit: 2, windowSeconds: 3_600 }],
    });
    const wrong = `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`;
    const bodies = [
      { key: secret, dryRun: true },
      { key: secret, scopes: ['reports:write'] },
      { key: secret, environment: 'test' as const },
      { key: wrong },
      { key: secret, cost: 11 },
      { key: secret, cost: 3 },
    ];
    for (const [i, body] of bodies.entries()) await replicas.ask(i, body);
    expect(await remainingOf(key.id)).toBe(10);
    const { body } = await replicas.ask(0, { key: secret, cost: 2 });
    expect(body).toMatchObject({ code: 'VALID', quota: { remaining: 8 } });
    const limited = await replicas.ask(1, { key: secret });
    expect(limited.body).toMatchObject({ code: 'RATE_LIMITED', quota: { remaining: 8 } });
    expect(await remainingOf(key.id)).toBe(8);
  });

  it('takes no rate limit when it refuses', async () => {
    const { secret } = await seeded.issue({
      quota: { limit: 1 },
      rateLimits: [{ name: 'hour', limit: 5, windowSeconds: 3_600 }],
    });
    await replicas.ask(0, { key: secret });
    const { body } = await replicas.ask(1, { key: secret });
    expect(body).toMatchObject({ code: 'QUOTA_EXCEEDED', rateLimits: [{ remaining: 4 }] });
  });

  it('starts anew where it is set again, and ends where it is set to null', async () => {
    const { key, secret } = await seeded.issue({ quota: { limit: 2 } });
    await replicas.flood(5, { key: secret });
    const patch = async (quota: object | null): Promise<Key['quota']> => {
      const { headers } = await replicas.call('get', `/v1/keys/${key.id}`, seeded.admin);
      const answer = await replicas
        .call('patch', `/v1/keys/${key.id}`, seeded.admin)
        .set('if-match', headers['etag'] as string)
        .send({ quota });
      return (answer.body as Key).quota;
    };
    expect(await patch({ limit: 2 })).toEqual({ limit: 2, remaining: 2, refill: null });
    expect(await replicas.flood(5, { key: secret })).toEqual({ VALID: 2, QUOTA_EXCEEDED: 3 });
    expect(await patch(null)).toBeNull();
    expect(await replicas.flood(5, { key: secret })).toEqual({ VALID: 5 });
  });

  it.each(['day', 'month'] as const)(
    'is refilled when a %s begins, up to its limit',
    async (every) => {
      const { key, secret } = await seeded.issue({
        quota: { limit: 10, refill: { amount: 4, every } },
      });
      const passed = async (periods: number): Promise<void> => {
        await replicas.postgres.owner.query(
          `UPDATE keys.quota_balance SET refilled_at = refilled_at - $1::interval WHERE key_id = $2`,
          [`${periods} ${every}`, key.id],
        );
        await flushAll(replicas.redis.url);
      };
      expect(await replicas.flood(12, { key: secret })).toEqual({ VALID: 10, QUOTA_EXCEEDED: 2 });
      await passed(1);
      expect(await remainingOf(key.id)).toBe(4);
      expect(await replicas.flood(12, { key: secret })).toEqual({ VALID: 4, QUOTA_EXCEEDED: 8 });
      await passed(2);
      expect(await replicas.flood(12, { key: secret })).toEqual({ VALID: 8, QUOTA_EXCEEDED: 4 });
      await passed(30);
      expect(await replicas.flood(12, { key: secret })).toEqual({ VALID: 10, QUOTA_EXCEEDED: 2 });
    },
  );

  it('is never overspent where Redis loses what it held, and loses a hundredth at most', async () => {
    const { key, secret } = await seeded.issue({ quota: { limit: 2_000 } });
    await replicas.ask(0, { key: secret });
    expect(await remainingOf(key.id)).toBe(1_999);
    await flushAll(replicas.redis.url);
    expect(await remainingOf(key.id)).toBe(1_980);
    const { body } = await replicas.ask(0, { key: secret, cost: 1_980 });
    expect(body).toMatchObject({ code: 'VALID', quota: { remaining: 0 } });
    expect((await replicas.ask(1, { key: secret })).body.code).toBe('QUOTA_EXCEEDED');
  });

  it('is not spent again from an old copy of the lease after Redis started anew', async () => {
    const { key, secret } = await seeded.issue({ quota: { limit: 300 } });
    await replicas.ask(0, { key: secret });
    const copy = await dumpOf(replicas.redis.url, `kw:{${key.id}}:quota:*`);
    expect(await replicas.flood(400, { key: secret })).toEqual({ VALID: 299, QUOTA_EXCEEDED: 101 });
    await replicas.redis.stop();
    await replicas.redisInUse(false);
    await replicas.redis.start();
    await copy.restore(replicas.redis.url);
    await replicas.redisInUse(true);
    expect(await replicas.flood(30, { key: secret })).toEqual({ QUOTA_EXCEEDED: 30 });
  });

  it('is exact without Redis', async () => {
    const { key, secret } = await seeded.issue({ quota: { limit: 100 } });
    const costly = await seeded.issue({ quota: { limit: 55 } });
    await replicas.redis.stop();
    await replicas.redisInUse(false);
    try {
      expect(await replicas.flood(300, { key: secret })).toEqual({
        VALID: 100,
        QUOTA_EXCEEDED: 200,
      });
      expect(await remainingOf(key.id)).toBe(0);
      const codes = await Promise.all(
        Array.from({ length: 30 }, (_, i) => replicas.ask(i, { key: costly.secret, cost: i + 1 })),
      );
      const spent = codes.reduce((sum, one, i) => sum + (one.body.valid ? i + 1 : 0), 0);
      const left = (await remainingOf(costly.key.id)) as number;
      expect(spent + left).toBe(55);
      const smallestRefused = codes.findIndex((one) => !one.body.valid) + 1;
      expect(left).toBeLessThan(smallestRefused);
    } finally {
      await replicas.redis.start();
      await replicas.redisInUse(true);
    }
  });

  it('goes on from what is leased without PostgreSQL, and no further', async () => {
    const { key, secret } = await seeded.issue({ quota: { limit: 2_000 } });
    for (const replica of [0, 1, 2]) await replicas.ask(replica, { key: secret });
    await replicas.postgres.whileAway(async () => {
      const answers = [];
      for (let i = 0; i < 24; i += 1) answers.push(await replicas.ask(i, { key: secret }));
      const allowed = answers.filter((one) => one.body.valid).length;
      const undecided = answers.filter((one) => one.status === 503).length;
      expect([allowed, undecided]).toEqual([17, 7]);
    });
    await replicas.redisInUse(true);
    expect(await remainingOf(key.id)).toBe(1_980);
    expect((await replicas.flood(1, { key: secret })).VALID).toBe(1);
  });

  it('shows in lists what is left', async () => {
    const { key, secret } = await seeded.issue({ quota: { limit: 1_000 }, tags: ['listed'] });
    await replicas.ask(0, { key: secret });
    const { body } = await replicas.call('get', '/v1/keys?tag=listed', seeded.admin);
    const { data } = body as { data: Key[] };
    // when it was used is told at any time from now on
    expect(data.map((one) => ({ ...one, lastUsedAt: null }))).toEqual([
      { ...key, quota: { limit: 1_000, remaining: 999, refill: null } },
    ]);
  });
});

async function flushAll(url: string): Promise<void> {
  const redis = new Redis(url);
  await redis.flushall();
  redis.disconnect();
}

/** What is stored under a pattern, to be put back later with no end to its life. */
async function dumpOf(
  url: string,
  pattern: string,
): Promise<{ restore: (url: string) => Promise<void> }> {
  const redis = new Redis(url);
  const names = await redis.keys(pattern);
  const values = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
  redis.disconnect();
  return {
    restore: async (other) => {
      const target = new Redis(other);
      for (const [i, name] of names.entries()) await target.restore(name, 0, values[i]!);
      target.disconnect();
    },
  };
}
