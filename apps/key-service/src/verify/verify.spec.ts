import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import type { IssuedKey, Verdict, VerifyBody } from '#contracts';
import { makeKeyText } from '#key-core';
import { Stores } from '../stores.js';
import { startReplicas, type Replicas } from '../testing/replicas.js';
import { seed, type Seed } from '../testing/seed.js';
import { RecordStore } from './record-store.js';

const idOf = (i: number): string => `key_${String(i).padStart(16, '0')}`;
const unknownText = (): string =>
  makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes).text;

let replicas: Replicas;
let seeded: Seed;
let serviceToken: string;

beforeAll(async () => {
  replicas = await startReplicas(2);
  seeded = await seed(replicas);
  serviceToken = await replicas.issuer.service('service-a', 'keys:verify');
});

afterAll(() => replicas?.stop());

const ask = async (replica: number, body: VerifyBody): Promise<Verdict> =>
  (await replicas.ask(replica, body)).body;

const until = async (isSo: () => Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 10));
};

describe('a rate limit shared by a consumer', () => {
  const shared = (limit: number) => ({
    name: 'all',
    limit,
    windowSeconds: 3_600,
    sharedBy: 'consumer',
  });
  const own = (limit: number) => ({ name: 'own', limit, windowSeconds: 3_600 });

  beforeEach(async () => {
    const redis = new Redis(replicas.redis.url);
    await redis.flushall();
    redis.disconnect();
  });

  it('is spent by all keys of the consumer, over all replicas, to the unit', async () => {
    const keys: IssuedKey[] = [];
    for (let i = 0; i < 3; i += 1) keys.push(await seeded.issue({ rateLimits: [shared(10)] }));
    const verdicts = await Promise.all(
      Array.from({ length: 45 }, (_, i) => ask(i, { key: keys[i % 3]!.secret })),
    );
    expect(verdicts.filter((one) => one.valid)).toHaveLength(10);
    expect(verdicts.filter((one) => one.code === 'RATE_LIMITED')).toHaveLength(35);
  });

  it('takes nothing where the own limit of the key refuses, and the other way round', async () => {
    const narrow = await seeded.issue({ rateLimits: [own(2), shared(10)] });
    const wide = await seeded.issue({ rateLimits: [shared(10), own(100)] });
    for (let i = 0; i < 5; i += 1) await ask(i, { key: narrow.secret });
    const refused = await ask(0, { key: narrow.secret });
    expect(refused).toMatchObject({
      code: 'RATE_LIMITED',
      rateLimits: [
        { name: 'own', limit: 2, remaining: 0 },
        { name: 'all', limit: 10, remaining: 8 },
      ],
    });
    expect(refused.retryAfterSeconds).toBeGreaterThan(0);
    for (let i = 0; i < 12; i += 1) await ask(i, { key: wide.secret });
    expect(await ask(0, { key: wide.secret })).toMatchObject({
      code: 'RATE_LIMITED',
      rateLimits: [
        { name: 'all', remaining: 0 },
        { name: 'own', remaining: 92 },
      ],
    });
  });

  it('takes nothing where the key has no quota left', async () => {
    const { secret } = await seeded.issue({ rateLimits: [shared(10)], quota: { limit: 1 } });
    await ask(0, { key: secret });
    expect(await ask(1, { key: secret })).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      rateLimits: [{ remaining: 9 }],
      quota: { remaining: 0 },
    });
  });

  it('is each service’s own: keys for another one cannot exhaust it', async () => {
    const key = await seeded.issue({ rateLimits: [shared(1)] });
    const grants = [{ service: 'service-x', scopes: ['things:read'] }];
    const other = await seeded.issue({ rateLimits: [shared(1)], grants });
    expect(await seeded.codeOf(other.secret, 'service-x')).toBe('VALID');
    expect(await seeded.codeOf(other.secret, 'service-x')).toBe('RATE_LIMITED');
    expect((await ask(0, { key: key.secret })).code).toBe('VALID');
    expect((await ask(1, { key: key.secret })).code).toBe('RATE_LIMITED');
  });

  it('is each window’s own: a key with a shorter one empties no bucket', async () => {
    const key = await seeded.issue({ rateLimits: [shared(2)] });
    const short = await seeded.issue({ rateLimits: [{ ...shared(2), windowSeconds: 1 }] });
    for (const replica of [0, 1]) await ask(replica, { key: key.secret });
    for (const replica of [0, 1]) await ask(replica, { key: short.secret });
    expect((await ask(0, { key: key.secret })).code).toBe('RATE_LIMITED');
  });

  it('says REVOKED of a revoked key, whatever is left', async () => {
    const { key, secret } = await seeded.issue({ rateLimits: [shared(1)] });
    await ask(0, { key: secret });
    expect((await ask(1, { key: secret })).code).toBe('RATE_LIMITED');
    await replicas
      .call('post', `/v1/keys/${key.id}/revoke`, seeded.admin)
      .send({ reason: 'retired' });
    expect((await ask(1, { key: secret })).code).toBe('REVOKED');
  });
});

it('a key begins at its time, on replicas that knew it before too', async () => {
  const beginsMs = Date.now() + 2_000;
  const { secret } = await seeded.issue({ notBefore: new Date(beginsMs).toISOString() });
  const codes = new Set<string>();
  const wrong: string[] = [];
  const left = new Set([0, 1]);
  for (let i = 0; left.size > 0; i += 1) {
    const askedMs = Date.now();
    const { code } = await ask(i % 2, { key: secret });
    codes.add(code);
    if (code === 'VALID' ? Date.now() < beginsMs : askedMs >= beginsMs) wrong.push(code);
    if (askedMs >= beginsMs) left.delete(i % 2);
  }
  expect(wrong).toEqual([]);
  expect([...codes]).toEqual(['NOT_YET_VALID', 'VALID']);
});

describe('dryRun', () => {
  it('decides as a real call would, and spends nothing', async () => {
    const rateLimits = [{ name: 'hour', limit: 3, windowSeconds: 3_600 }];
    const { secret } = await seeded.issue({ rateLimits });
    for (let i = 0; i < 6; i += 1) {
      const verdict = await ask(i, { key: secret, dryRun: true, cost: 3 });
      expect(verdict).toMatchObject({ code: 'VALID', rateLimits: [{ remaining: 3 }] });
    }
    expect((await ask(0, { key: secret, dryRun: true, cost: 4 })).code).toBe('RATE_LIMITED');
    expect((await ask(0, { key: secret, cost: 3 })).code).toBe('VALID');
    expect((await ask(1, { key: secret, dryRun: true })).code).toBe('RATE_LIMITED');
  });
});

describe('Cache-Control: no-cache', () => {
  it('reads the store, whatever the cache holds', async () => {
    const { key, secret } = await seeded.issue();
    // a fill is not waited for
    await until(async () => (await ask(0, { key: secret })).decision.source === 'cache');
    // behind the service's back, so that no cache entry is overwritten
    await replicas.postgres.owner.query(`UPDATE keys.key SET state = 'disabled' WHERE id = $1`, [
      key.id,
    ]);
    const fresh = await replicas.ask(0, { key: secret }, { 'cache-control': 'No-Cache' });
    expect(fresh.body).toMatchObject({ code: 'DISABLED', decision: { source: 'store' } });
  });

  it('spends limits as any call does', async () => {
    const rateLimits = [{ name: 'hour', limit: 3, windowSeconds: 3_600 }];
    const { secret } = await seeded.issue({ rateLimits });
    const codes = [];
    for (let i = 0; i < 4; i += 1) {
      const { body } = await replicas.ask(i, { key: secret }, { 'cache-control': 'no-cache' });
      codes.push(body.code);
    }
    expect(codes).toEqual(['VALID', 'VALID', 'VALID', 'RATE_LIMITED']);
  });
});

describe('1,000 callers who ask at the same time about a key that no cache holds', () => {
  it('share the few reads of PostgreSQL that are under way', async () => {
    const { secret } = await seeded.issue();
    const statements = countReads(0);
    const redis = new Redis(replicas.redis.url);
    await redis.flushall();
    redis.disconnect();
    const questions = Array.from({ length: 1_000 }, () => ask(0, { key: secret }));
    const codes = new Set((await Promise.all(questions)).map((one) => one.code));
    expect([...codes]).toEqual(['VALID']);
    expect(statements()).toBeGreaterThan(0);
    expect(statements()).toBeLessThanOrEqual(50);
  });

  it('share one where they come together', async () => {
    const { key } = await seeded.issue();
    const statements = countReads(0);
    const store = replicas.apps[0]!.get(RecordStore);
    const reads = await Promise.all(Array.from({ length: 1_000 }, () => store.read(key.id)));
    expect(new Set(reads.map((one) => one.record?.version))).toEqual(new Set([1]));
    expect(statements()).toBe(1);
  });

  /** Counts the statements that a replica sends from now on to read records. */
  function countReads(replica: number): () => number {
    const { hotPool } = replicas.apps[replica]!.get(Stores);
    const query = hotPool.query.bind(hotPool) as (...args: unknown[]) => unknown;
    let count = 0;
    const counting = (...args: unknown[]) => {
      if ((args[0] as { name?: string }).name === 'records') count += 1;
      return query(...args);
    };
    hotPool.query = counting as typeof hotPool.query;
    return () => count;
  }
});

describe('a flood of unknown ids', () => {
  it('is turned away at once beyond what may wait, and known keys go on meanwhile', async () => {
    const { secret } = await seeded.issue();
    for (const replica of [0, 0]) await ask(replica, { key: secret });
    const store = replicas.apps[0]!.get(RecordStore);
    const reading = Promise.allSettled(
      Array.from({ length: 3_000 }, (_, i) => store.read(idOf(i), `service-${i % 3}`)),
    );
    const known = await ask(0, { key: secret });
    const settled = await reading;
    expect(known).toMatchObject({ code: 'VALID', decision: { source: 'cache' } });
    const answered = settled.filter((one) => one.status === 'fulfilled');
    expect(answered.length).toBe(2_048);
    expect(answered.every((one) => one.value.record === null)).toBe(true);
  });

  it('by one service leaves room for the keys that others ask about', async () => {
    const store = replicas.apps[0]!.get(RecordStore);
    const flood = Array.from({ length: 3_000 }, (_, i) => store.read(idOf(i), 'service-x'));
    const others = Array.from({ length: 1_000 }, (_, i) =>
      store.read(idOf(i + 5_000), 'service-a'),
    );
    const reads = async (some: Promise<unknown>[]) =>
      (await Promise.allSettled(some)).filter((one) => one.status === 'fulfilled').length;
    expect(await Promise.all([reads(flood), reads(others)])).toEqual([1_024, 1_000]);
    // and the places are free again afterwards
    const again = Array.from({ length: 1_024 }, (_, i) => store.read(idOf(i), 'service-x'));
    expect(await reads(again)).toBe(1_024);
  });

  it('is 503 for who asks, and no verdict', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, () =>
        replicas
          .call('post', '/v1/keys/verify-batch', serviceToken)
          .send({ requests: Array.from({ length: 100 }, () => ({ key: unknownText() })) }),
      ),
    );
    const told = answers.map(({ status, body }) =>
      status === 503 ? (body as { code: string }).code : [...new Set(codesIn(body))].join(),
    );
    const allowed = ['NOT_FOUND', 'VERIFICATION_UNAVAILABLE'];
    expect(told.filter((one) => !allowed.includes(one))).toEqual([]);
    expect((await ask(0, { key: unknownText() })).code).toBe('NOT_FOUND');
  });
});

describe('POST /v1/keys/verify-batch', () => {
  const batch = (requests: unknown[]) =>
    replicas.call('post', '/v1/keys/verify-batch', serviceToken).send({ requests });

  it('gives to each question the verdict that it gets alone, in their order', async () => {
    const issued: IssuedKey[] = [];
    for (const over of [
      {},
      { environment: 'test' },
      { ipAllowlist: ['10.0.0.0/8'] },
      { grants: [{ service: 'service-x', scopes: ['things:read'] }] },
      { rateLimits: [{ name: 'hour', limit: 1_000_000, windowSeconds: 3_600 }] },
      { quota: { limit: 1_000_000 } },
    ])
      issued.push(await seeded.issue(over));
    const { key: gone } = issued[0]!;
    const revoked = await seeded.issue();
    await replicas
      .call('post', `/v1/keys/${revoked.key.id}/revoke`, seeded.admin)
      .send({ reason: 'retired' });
    expect(gone.status).toBe('active');
    const texts = [
      ...issued.map((one) => one.secret),
      revoked.secret,
      unknownText(),
      'junk',
      '',
      'k'.repeat(5_000),
    ];
    const question = fc.record(
      {
        key: fc.constantFrom(...texts),
        scopes: fc.constantFrom<VerifyBody['scopes'][]>(['reports:read'], ['reports:write'], {
          anyOf: ['reports:read', 'reports:write'],
        }),
        environment: fc.constantFrom('live' as const, 'test' as const),
        clientIp: fc.constantFrom('10.1.2.3', '192.0.2.7'),
        cost: fc.constantFrom(1, 7),
        dryRun: fc.boolean(),
      },
      { requiredKeys: ['key'] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(question as fc.Arbitrary<VerifyBody>, { minLength: 1, maxLength: 8 }),
        async (requests) => {
          const answer = await batch(requests);
          expect(answer.status).toBe(200);
          const alone = [];
          for (const one of requests) alone.push(await ask(0, one));
          expect((answer.body as { results: Verdict[] }).results.map(lasting)).toEqual(
            alone.map(lasting),
          );
        },
      ),
      { numRuns: 25 },
    );
  });

  it('answers 100 keys that no cache holds', async () => {
    const texts: string[] = [];
    for (let i = 0; i < 5; i += 1) texts.push((await seeded.issue()).secret);
    const requests = Array.from({ length: 100 }, (_, i) => ({
      key: i % 20 === 0 ? texts[i / 20] : unknownText(),
    }));
    const { body } = await batch(requests);
    const expected = requests.map((_, i) => (i % 20 === 0 ? 'VALID' : 'NOT_FOUND'));
    expect(codesIn(body)).toEqual(expected);
  });

  it('spends a limit that several of its questions share to the unit', async () => {
    const rateLimits = [{ name: 'hour', limit: 7, windowSeconds: 3_600 }];
    const { secret } = await seeded.issue({ rateLimits, quota: { limit: 5 } });
    const { body } = await batch(Array.from({ length: 20 }, () => ({ key: secret })));
    expect(codesIn(body).filter((code) => code === 'VALID')).toHaveLength(5);
  });

  const good = { key: 'x' };
  it.each([
    ['an empty list', [], '/requests'],
    ['101 requests', Array.from({ length: 101 }, () => good), '/requests'],
    ['a cost of 0', [good, good, good, { ...good, cost: 0 }], '/requests/3/cost'],
    ['a request without a key', [good, { keys: 'x' }], '/requests/1/key'],
    ['an address that is none', [{ ...good, clientIp: 'here' }], '/requests/0/clientIp'],
    ['a key that is no text', [{ key: 1 }], '/requests/0/key'],
  ])('refuses %s, naming where', async (_, requests, pointer) => {
    const { status, body } = await batch(requests);
    const { code, errors } = body as { code: string; errors: { pointer: string }[] };
    expect([status, code, errors[0]?.pointer]).toEqual([400, 'INVALID_REQUEST', pointer]);
  });

  it('is for services that may verify, about their own keys', async () => {
    const requests = [{ key: 'x', service: 'service-x' }];
    expect((await batch(requests)).status).toBe(403);
    const person = await replicas
      .call('post', '/v1/keys/verify-batch', seeded.admin)
      .send({ requests: [{ key: 'x' }] });
    expect(person.status).toBe(403);
    const nobody = await replicas.call('post', '/v1/keys/verify-batch', null).send({ requests });
    expect(nobody.status).toBe(401);
  });
});

it('a verdict on junk is of no store, as none is asked about it', async () => {
  for (const key of ['junk', '', 'kw_live_x']) {
    const { status, body } = await replicas
      .call('post', '/v1/keys/verify', serviceToken)
      .send({ key });
    expect([status, body]).toEqual([
      200,
      {
        valid: false,
        code: 'MALFORMED',
        decision: {
          ...{ source: 'cache', asOf: expect.any(String), ttlSeconds: 1, version: 0 },
        },
      },
    ]);
  }
  expect((await ask(0, { key: unknownText() })).decision.source).toBe('store');
});

describe('a question that is not understood', () => {
  it.each([
    [{}, '/key: This is required'],
    [
      { key: 'x', scopes: 'reports:read' },
      '/scopes: Use a list of at most 50 scopes such as ["reports:read"], or {"anyOf": [...]} with such a list',
    ],
    [{ key: 'x', clientIp: 'localhost' }, '/clientIp: Use an IPv4 or IPv6 address'],
  ])('is told what would be right: %j', async (body, detail) => {
    const answer = await replicas.call('post', '/v1/keys/verify', serviceToken).send(body);
    expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID_REQUEST', detail } });
  });

  it('is told so where it was not sent', async () => {
    const answer = await replicas
      .call('post', '/v1/keys/verify', serviceToken)
      .set('content-type', 'application/json');
    expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID_REQUEST' } });
  });
});

describe('a question in which a property is named twice', () => {
  const sent = (text: string, path = '/v1/keys/verify') =>
    replicas.call('post', path, serviceToken).set('content-type', 'application/json').send(text);

  it.each([
    ['to the door', '{"key":"x","key":"x"}', '/key'],
    ['with spaces between', '{ "key": "x", "cost": 1, "cost": 1 }', '/cost'],
    ['escaped', '{"key":"x","\\u006bey":"x"}', '/key'],
    ['in letters that are not ASCII', '{"key":"ü","key":"x"}', '/key'],
    ['with a lease', '{"key":"x","key":"x","lease":{"permits":1}}', '/key'],
  ])('is 400 and names it, %s', async (_, text, pointer) => {
    const { status, body } = await sent(text);
    const { code, errors } = body as { code: string; errors: { pointer: string }[] };
    expect([status, code, errors[0]?.pointer]).toEqual([400, 'INVALID_REQUEST', pointer]);
  });

  it('is 400 and names it in a batch', async () => {
    const path = '/v1/keys/verify-batch';
    const inOne = await sent('{"requests":[{"key":"x"},{"key":"x","key":"y"}]}', path);
    const ofAll = await sent('{"requests":[{"key":"x"}],"requests":[{"key":"y"}]}', path);
    const pointers = [inOne, ofAll].map(
      ({ body }) => (body as { errors: { pointer: string }[] }).errors[0]?.pointer,
    );
    expect([inOne.status, ofAll.status, ...pointers]).toEqual([
      400,
      400,
      '/requests/1/key',
      '/requests',
    ]);
  });
});

describe('a verdict while PostgreSQL is away', () => {
  it('says that it is stale, and since when it holds, alone, leased and in a batch', async () => {
    const { secret } = await seeded.issue();
    const decisionsOn = async () => {
      const lease = { permits: 0 };
      const alone = [await ask(0, { key: secret }), await ask(0, { key: secret, lease })];
      const requests = [{ key: secret }, { key: secret, lease }];
      const { body } = await replicas
        .call('post', '/v1/keys/verify-batch', serviceToken)
        .send({ requests });
      return [...alone, ...(body as { results: Verdict[] }).results].map((one) => one.decision);
    };
    await until(async () => (await ask(0, { key: secret })).decision.source === 'cache');
    expect((await decisionsOn()).map((one) => one.stale)).toEqual(Array(4).fill(undefined));
    await replicas.postgres.whileAway(async () => {
      const goneMs = Date.now();
      await until(async () => (await ask(0, { key: secret })).decision?.stale === true);
      for (const one of await decisionsOn()) {
        expect(one).toMatchObject({ source: 'cache', stale: true, ttlSeconds: 0 });
        expect(Date.parse(one.asOf)).toBeLessThanOrEqual(goneMs);
      }
    });
    await until(async () => (await ask(0, { key: secret })).decision?.stale === undefined);
  });
});

function codesIn(body: unknown): string[] {
  return (body as { results: Verdict[] }).results.map((one) => one.code);
}

/** A verdict without what changes from call to call. */
function lasting({ decision, rateLimits, quota, ...verdict }: Verdict) {
  return {
    ...verdict,
    version: decision.version,
    limits: rateLimits?.map((one) => one.name),
    quota: quota?.limit,
  };
}
