import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import type { Key, RateLimit, RotatedKey, UsageReport, VerifyBatchAnswer } from '#contracts';
import { startReplicas, type Replicas } from '../testing/replicas.js';
import { seed, type Seed } from '../testing/seed.js';
import { Usage } from '../usage/usage.js';
import { LocalLimits } from './local-limits.js';
import type { SpentReply } from './check-line.js';
import type { Spent } from './spending.js';

let replicas: Replicas;
let seeded: Seed;
let redis: Redis;

beforeAll(async () => {
  replicas = await startReplicas(3);
  seeded = await seed(replicas);
  redis = new Redis(replicas.redis.url);
});
afterAll(async () => {
  redis?.disconnect();
  await replicas?.stop();
});

describe('the rate limit of a key, over 3 replicas', () => {
  const never = 30 * 86_400;

  it.each([
    { limit: 1, calls: 300, cost: 1, allowed: 1 },
    { limit: 100, calls: 300, cost: 1, allowed: 100 },
    { limit: 300, calls: 300, cost: 1, allowed: 300 },
    { limit: 100, calls: 300, cost: 7, allowed: 14 },
  ])(
    'of $limit units allows exactly $allowed of $calls simultaneous calls that cost $cost',
    async ({ limit, calls, cost, allowed }) => {
      const rateLimits = [{ name: 'all', limit, windowSeconds: never }];
      const { secret } = await seeded.issue({ rateLimits });
      const codes = await replicas.flood(calls, { key: secret, cost });
      const refused = calls - allowed;
      expect(codes).toEqual({ VALID: allowed, ...(refused > 0 && { RATE_LIMITED: refused }) });
    },
  );

  it('is one burst and what flows back, and not a unit more', async () => {
    const rateLimits = [{ name: 'second', limit: 20, windowSeconds: 1 }];
    const { secret } = await seeded.issue({ rateLimits });
    const startedMs = performance.now();
    let allowed = 0;
    while (performance.now() - startedMs < 1_500)
      allowed += (await replicas.flood(60, { key: secret }))['VALID'] ?? 0;
    const seconds = (performance.now() - startedMs) / 1_000;
    expect(allowed).toBeGreaterThan(20);
    expect(allowed).toBeLessThanOrEqual(20 + Math.floor(20 * seconds));
  });
});

it('a shared limit that is given back is never told to have more left than it holds', async () => {
  const most = 1_000_000;
  const { secret } = await seeded.issue({
    rateLimits: [
      { name: 'all', limit: most, windowSeconds: 1, sharedBy: 'consumer' },
      { name: 'own', limit: 1, windowSeconds: 3_600 },
    ],
  });
  const states = [];
  for (let i = 0; i < 5; i += 1)
    states.push((await replicas.ask(i, { key: secret })).body.rateLimits);
  expect(states.map((one) => one?.[1]?.remaining)).toEqual([0, 0, 0, 0, 0]);
  for (const one of states) expect(one?.[0]?.remaining).toBeLessThanOrEqual(most);
});

it('limit, quota and use of a key go on through a rotation: they are the key’s, not its secrets’', async () => {
  const { key, secret: old } = await seeded.issue({
    rateLimits: [{ name: 'all', limit: 10, windowSeconds: 30 * 86_400 }],
    quota: { limit: 20 },
  });
  const act = (action: string, body: object = {}) =>
    replicas.call('post', `/v1/keys/${key.id}/${action}`, seeded.admin).send(body).expect(200);
  const spend = async (text: string, times: number) => {
    const told = [];
    for (let i = 0; i < times; i += 1) told.push((await replicas.ask(i, { key: text })).body);
    return told.map((one) => [one.code, one.rateLimits?.[0]?.remaining]);
  };
  const valid = (...left: number[]) => left.map((one) => ['VALID', one]);
  const quotaLeft = async () => {
    const { body } = await replicas.call('get', `/v1/keys/${key.id}`, seeded.admin).expect(200);
    return (body as Key).quota?.remaining;
  };
  expect(await spend(old, 6)).toEqual(valid(9, 8, 7, 6, 5, 4));
  const { secret: fresh } = (await act('rotate', { overlapSeconds: 600 })).body as RotatedKey;
  expect(await spend(old, 3)).toEqual(valid(3, 2, 1));
  expect(await spend(fresh, 2)).toEqual([...valid(0), ['RATE_LIMITED', 0]]);
  expect(await quotaLeft()).toBe(10);
  await act('rotation/finish');
  expect(await spend(fresh, 1)).toEqual([['RATE_LIMITED', 0]]);
  expect(await spend(old, 1)).toEqual([['SUPERSEDED', undefined]]);
  expect(await quotaLeft()).toBe(10);
  await Promise.all(replicas.apps.map((app) => app.get(Usage).flush()));
  await replicas.app.get(Usage).fold();
  const usage = await replicas
    .call('get', `/v1/usage?keyId=${key.id}&granularity=day`, seeded.admin)
    .expect(200);
  const counts: Record<string, number> = {};
  for (const point of (usage.body as UsageReport).data)
    for (const [code, count] of Object.entries(point.counts))
      counts[code] = (counts[code] ?? 0) + count;
  expect(counts).toEqual({ VALID: 10, RATE_LIMITED: 2, SUPERSEDED: 1 });
  const bySecret = await replicas.postgres.owner.query<object[]>(
    `SELECT secret, superseded, sum(count)::int AS count FROM keys.usage_by_minute
     WHERE key_id = $1 AND code = 'VALID' GROUP BY 1, 2 ORDER BY 1, 2`,
    [key.id],
  );
  expect(bySecret).toEqual([
    { secret: 1, superseded: false, count: 6 },
    { secret: 1, superseded: true, count: 3 },
    { secret: 2, superseded: false, count: 1 },
  ]);
});

it('a limit that is shortened lets calls pass after the wait that it names, on every replica', async () => {
  const rateLimits = [{ name: 'all', limit: 1, windowSeconds: 30 * 86_400 }];
  const { key, secret } = await seeded.issue({ rateLimits });
  expect(await replicas.flood(3, { key: secret })).toEqual({ VALID: 1, RATE_LIMITED: 2 });
  const patched = await replicas
    .call('patch', `/v1/keys/${key.id}`, seeded.admin)
    .set('if-match', '"1"')
    .send({ rateLimits: [{ ...rateLimits[0], windowSeconds: 2 }] });
  expect(patched.status).toBe(200);
  const codes = new Set<string>();
  for (let i = 0; !codes.has('VALID'); i += 1) {
    const { body } = await replicas.ask(i, { key: secret });
    codes.add(body.code);
    expect(body.rateLimits).toEqual([expect.objectContaining({ name: 'all', limit: 1 })]);
    expect(body.rateLimits![0]!.resetSeconds).toBeLessThanOrEqual(2);
  }
  expect([...codes]).toEqual(['RATE_LIMITED', 'VALID']);
});

it('a cost above what a limit or the quota ever holds is refused as such, with no time to wait', async () => {
  const verifier = await replicas.issuer.service('service-a', 'keys:verify');
  const windowSeconds = 3_600;
  const own = { name: 'own', limit: 9, windowSeconds };
  const shared = { name: 'all', limit: 20, windowSeconds, sharedBy: 'consumer' };
  const narrow = { name: 'own', limit: 3, windowSeconds };
  for (const [limits, code] of [
    [{ rateLimits: [narrow] }, 'RATE_LIMITED'],
    [{ rateLimits: [own, { ...shared, limit: 3 }] }, 'RATE_LIMITED'],
    [{ rateLimits: [shared], quota: { limit: 3 } }, 'QUOTA_EXCEEDED'],
    [{ quota: { limit: 3, refill: { amount: 3, every: 'day' } } }, 'QUOTA_EXCEEDED'],
  ] as const) {
    const { key, secret } = await seeded.issue(limits);
    const refused = { valid: false, code, costExceedsLimit: true };
    const { body } = await replicas.ask(0, { key: secret, cost: 4 });
    expect(body).toMatchObject(refused);
    expect(body).not.toHaveProperty('retryAfterSeconds');
    const requests = [{ key: secret, cost: 4 }, { key: secret }];
    const batch = await replicas.call('post', '/v1/keys/verify-batch', verifier).send({ requests });
    expect((batch.body as VerifyBatchAnswer).results).toMatchObject([refused, { valid: true }]);
    const explained = await replicas
      .call('post', `/v1/keys/${key.id}/explain`, seeded.admin)
      .send({ service: 'service-a', cost: 4 });
    expect(JSON.stringify(explained.body)).toContain('needs 4, which is never there at once');
  }
});

it('the wait that is named is over for every limit that refuses, whichever is named first', async () => {
  const short = { name: 'short', limit: 1, windowSeconds: 60 };
  const long = { name: 'long', limit: 1, windowSeconds: 7_200 };
  const shared = { ...long, name: 'shared', sharedBy: 'consumer' };
  for (const rateLimits of [
    [short, long],
    [long, short],
    [short, shared],
    [shared, short],
  ]) {
    const { secret } = await seeded.issue({ rateLimits });
    await replicas.ask(0, { key: secret });
    const { body } = await replicas.ask(1, { key: secret });
    expect(body.code).toBe('RATE_LIMITED');
    expect(body.retryAfterSeconds).toBeGreaterThan(7_000);
  }
});

it('a known key is looked up, and its limits are spent, by one command of Redis', async () => {
  const windowSeconds = 60;
  const { secret } = await seeded.issue({
    rateLimits: [
      { name: 'a', limit: 500, windowSeconds },
      { name: 'b', limit: 400, windowSeconds },
    ],
  });
  const isCached = async () =>
    (await replicas.ask(0, { key: secret })).body.decision.source === 'cache';
  while (!(await isCached()));
  await redis.config('RESETSTAT');
  // as most ask, and as is asked of the verifier in full
  for (const more of [{}, { scopes: ['reports:read'] }, { cost: 2 }, { dryRun: true }])
    for (let i = 0; i < 5; i += 1) {
      const { body } = await replicas.ask(0, { key: secret, ...more });
      expect(body).toMatchObject({ valid: true, decision: { source: 'cache' } });
    }
  const told = await redis.info('commandstats');
  const scripts = [...told.matchAll(/^cmdstat_(evalsha|eval|fcall)\S*:calls=(\d+)/gm)];
  expect(scripts.map(([, command, calls]) => [command, Number(calls)])).toEqual([['evalsha', 20]]);
  const read = /^cmdstat_get:calls=(\d+)/m.exec(told)?.[1];
  // the entry and both buckets, within those
  expect(Number(read)).toBe(60);
});

it('nothing that is kept in Redis is kept for ever', async () => {
  const shared = { name: 'shared', limit: 50, windowSeconds: 60, sharedBy: 'consumer' };
  const own = { name: 'own', limit: 40, windowSeconds: 60 };
  const keys = await Promise.all([
    seeded.issue(),
    seeded.issue({ rateLimits: [own] }),
    seeded.issue({ rateLimits: [own, shared], quota: { limit: 1_000 } }),
    seeded.issue({ quota: { limit: 30, refill: { amount: 30, every: 'day' } } }),
  ]);
  for (const { secret } of keys) {
    await replicas.flood(60, { key: secret });
    await replicas.ask(0, { key: secret, lease: { permits: 5 } });
    await replicas.ask(1, { key: secret, dryRun: true });
    await replicas.ask(2, { key: `${secret.slice(0, -1)}x` });
  }
  const post = (id: string, what: string, body: object) =>
    replicas.call('post', `/v1/keys/${id}/${what}`, seeded.admin).send(body);
  await post(keys[0].key.id, 'revoke', { reason: 'retired' });
  await post(keys[1].key.id, 'rotate', {});
  await post(keys[2].key.id, 'disable', {});
  const names: string[] = [];
  for await (const page of redis.scanStream()) names.push(...(page as string[]));
  const kinds = new Set(names.map((name) => name.replace(/\{[^}]*\}/, '{}').split(':')[2]));
  expect([...kinds]).toEqual(expect.arrayContaining(['quota', 'rec', 'rl']));
  const lives = await Promise.all(names.map(async (name) => [name, await redis.pttl(name)]));
  // -2: it ended since
  expect(lives.filter(([, ms]) => ms === -1)).toEqual([]);
});

describe('limits that are counted in Redis', () => {
  const START_MS = 1_800_000_000_000;
  /** Redis asks its own clock and keeps no bucket beyond its use; here both are the test's. */
  const script = readFileSync(new URL('./check.lua', import.meta.url), 'utf8')
    .replace("redis.call('TIME')", "redis.call('MGET', 'clock:s', 'clock:us')")
    .replace("'PX', kept)", "'PX', 3600000)");

  const someLimits = fc.array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      limit: fc.integer({ min: 1, max: 40 }),
      windowSeconds: fc.integer({ min: 1, max: 600 }),
    }),
    { minLength: 1, maxLength: 3 },
  );
  /** The limits may be changed meanwhile, as by an admin. */
  const someCalls = fc.array(
    fc.record({
      waitMs: fc.oneof(fc.integer({ min: 0, max: 2_000 }), fc.integer({ min: 0, max: 700_000 })),
      cost: fc.integer({ min: 1, max: 12 }),
      isDry: fc.boolean(),
      changed: fc.option(someLimits, { freq: 8 }),
    }),
    { minLength: 5, maxLength: 60 },
  );
  const namedOnce = (limits: RateLimit[]) => [...new Map(limits.map((o) => [o.name, o])).values()];

  /** What is decided, and in whole seconds the wait and the resets. */
  const partsOf = ({ refusal, retryMs, states }: Spent) => ({
    decided: [refusal !== null, ...states.map((one) => one.remaining)],
    seconds: [Math.ceil(retryMs / 1_000), ...states.map((one) => one.resetSeconds)],
  });
  const partsIn = ([, refusal, retryMs, ...states]: SpentReply) => ({
    decided: [refusal !== 0, ...states.filter((_, i) => i % 2 === 0)],
    seconds: [retryMs, ...states.filter((_, i) => i % 2 === 1)].map((ms) => Math.ceil(ms / 1_000)),
  });

  it('are decided as by the pure function, whatever they are and whenever is asked', async () => {
    expect(script).not.toContain("'TIME'");
    expect(script).toContain("'PX', 3600000)");
    let runs = 0;
    const property = fc.asyncProperty(someLimits, someCalls, async (first, calls) => {
      const local = new LocalLimits();
      const owner = { keyId: `run${(runs += 1)}`, consumer: 'c', service: 's' };
      let limits = namedOnce(first);
      let nowMs = START_MS;
      const asked = [];
      for (const { waitMs, cost, isDry, changed } of calls) {
        nowMs += waitMs;
        if (changed !== null) limits = namedOnce(changed);
        const spending = { limits, quota: null, cost, isDry };
        const here = partsOf(local.spend(owner, spending, { replicas: 1, nowMs }));
        asked.push({ here, there: inRedis(owner.keyId, spending, nowMs) });
      }
      for (const { here, there } of asked) expect(partsIn(await there)).toEqual(here);
    });
    await fc.assert(property, { numRuns: 150 });
  });

  it.each([
    { by: 'a limit that was shortened', wasSeconds: 2_592_000, backMs: 0 },
    { by: 'a clock that was set back', wasSeconds: 10, backMs: 86_400_000 },
  ])('are there again after one window where $by left more, here and there', async (left) => {
    const local = new LocalLimits();
    const owner = { keyId: left.by, consumer: 'c', service: 's' };
    let nowMs = START_MS;
    let limit = { name: 'a', limit: 5, windowSeconds: left.wasSeconds };
    const ask = async (waitMs: number, cost: number, isDry = false) => {
      nowMs += waitMs;
      const spending = { limits: [limit], quota: null, cost, isDry };
      const here = partsOf(local.spend(owner, spending, { replicas: 1, nowMs }));
      expect(partsIn(await inRedis(owner.keyId, spending, nowMs))).toEqual(here);
      return here;
    };
    await ask(0, 5);
    limit = { ...limit, windowSeconds: 10 };
    const refused = { decided: [true, 0], seconds: [2, 10] };
    expect(await ask(-left.backMs, 1, true)).toEqual(refused);
    expect(await ask(1_000, 1)).toEqual({ decided: [true, 0], seconds: [1, 9] });
    expect(await ask(999, 1)).toMatchObject({ decided: [true, 0] });
    expect(await ask(1, 1)).toMatchObject({ decided: [false, 0] });
  });

  it('that a consumer shares are one a service and window in this process too', () => {
    const local = new LocalLimits();
    const isRefused = (owner: { keyId: string; service: string }, windowSeconds = 60) => {
      const limits = [{ name: 'a', limit: 1, windowSeconds, sharedBy: 'consumer' as const }];
      const spending = { limits, quota: null, cost: 1, isDry: false };
      const share = { replicas: 1, nowMs: START_MS };
      return local.spend({ ...owner, consumer: 'c' }, spending, share).refusal !== null;
    };
    expect(isRefused({ keyId: 'k1', service: 's' })).toBe(false);
    expect(isRefused({ keyId: 'k2', service: 's' })).toBe(true);
    expect(isRefused({ keyId: 'k2', service: 'x' })).toBe(false);
    expect(isRefused({ keyId: 'k2', service: 's' }, 1)).toBe(false);
  });

  /** Sent at once, so that many are under way; one connection keeps their order. */
  async function inRedis(
    keyId: string,
    spending: { limits: RateLimit[]; quota: null; cost: number; isDry: boolean },
    nowMs: number,
  ): Promise<SpentReply> {
    const { limits, cost, isDry } = spending;
    const names = [keyId, keyId, ...limits.map(({ name }) => `${keyId}:${name}`)];
    const pairs = limits.flatMap((one) => [one.limit, one.windowSeconds * 1_000]);
    const args = ['token', 5_000, limits.length, 0, '*', 0, cost, isDry ? 0 : 1, ...pairs];
    void redis.mset('clock:s', Math.floor(nowMs / 1_000), 'clock:us', (nowMs % 1_000) * 1_000);
    const answers = await redis.eval(script, names.length, ...names, ...args);
    return (answers as SpentReply[])[0]!;
  }
});
