import * as fc from 'fast-check';
import type { IssuedKey, Key, PatchedService, Policy, Service, Violation } from '#contracts';
import { keyFaults } from '#key-core';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

let management: ManagementApp;
let world: Seed;
let made = 0;

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
});
afterAll(() => management.stop());

const call = (method: 'get' | 'post' | 'patch', path: string, token = world.admin) =>
  management.call(method, path, token);
const patchKey = (id: string, version: number, body: object) =>
  call('patch', `/v1/keys/${id}`).set('if-match', `"${version}"`).send(body);
const setPolicy = async (slug: string, policy: Partial<Policy>, token?: string) =>
  (await call('patch', `/v1/services/${slug}`, token).send({ policy })).body as PatchedService & {
    violations: object;
  };

/** A service of the test's own, and a way to make keys of it. */
async function service(policy: Partial<Policy> = {}) {
  const slug = `ruled-${(made += 1)}`;
  const scopes = ['reports:read', 'reports:write', 'users:read'];
  const answer = await call('post', '/v1/services').send({ slug, scopes, policy });
  const grants = [{ service: slug, scopes: ['reports:read'] }];
  const create = (over: object = {}) =>
    call('post', '/v1/keys').send({ ...keyBody(), grants, ...over });
  const issue = async (over: object = {}) => {
    const issued = await create(over);
    expect(issued.status).toBe(201);
    return (issued.body as IssuedKey).key;
  };
  return { slug, grants, create, issue, answer };
}

const violated = (...pointers: string[]) => ({ status: 400, code: 'POLICY_VIOLATION', pointers });

describe('the policy of a service', () => {
  test('bounds rate limits: missing or too high ones are refused with what would be right', async () => {
    const burst = { name: 'burst', limit: 10, windowSeconds: 1 };
    const { create, issue, slug } = await service({ maxRateLimits: [burst] });
    const missing = await create();
    expect(problemIn(missing)).toEqual(violated('/rateLimits'));
    expect(missing.text).toContain(`${slug} requires a limit named burst of at most 10 in 1 s`);
    const high = await create({ rateLimits: [{ ...burst, limit: 11 }] });
    expect(problemIn(high)).toEqual(violated('/rateLimits/0'));
    const wide = await create({ rateLimits: [{ ...burst, limit: 60, windowSeconds: 10 }] });
    expect(problemIn(wide)).toEqual(violated('/rateLimits/0'));
    const key = await issue({ rateLimits: [{ ...burst, windowSeconds: 10 }] });
    expect(problemIn(await patchKey(key.id, 1, { rateLimits: [] }))).toEqual(
      violated('/rateLimits'),
    );
    expect((await patchKey(key.id, 1, { name: 'other' })).status).toBe(200);
  });

  test('gives its default limits to a key that names none', async () => {
    const burst = { name: 'burst', limit: 10, windowSeconds: 1 };
    const { issue } = await service({ maxRateLimits: [burst], defaultRateLimits: [burst] });
    expect((await issue()).rateLimits).toEqual([burst]);
  });

  test('gives a key of several services what is within the defaults of each, and refuses too many', async () => {
    const named = (names: string[], limit: number, windowSeconds: number) =>
      names.map((name) => ({ name, limit, windowSeconds }));
    const limits = named(['a', 'b', 'c'], 10, 10);
    const one = await service({ defaultRateLimits: limits, maxRateLimits: limits });
    const [burst] = named(['c'], 2, 1);
    const other = await service({ defaultRateLimits: [burst!], maxRateLimits: [burst!] });
    const key = await one.issue({ grants: [...one.grants, ...other.grants] });
    expect(key.rateLimits).toEqual([...limits.slice(0, 2), ...named(['c'], 2, 2)]);
    const third = await service({ defaultRateLimits: named(['d', 'e', 'f'], 1, 1) });
    const grants = [...one.grants, ...third.grants];
    const refused = await one.create({ grants });
    expect(problemIn(refused)).toEqual(violated('/rateLimits'));
    expect(refused.text).toContain('Name the limits, 5 at most: by default these services give a');
    expect((await one.issue({ grants, rateLimits: limits })).rateLimits).toEqual(limits);
  });

  test('lowers a default with its maximum, but refuses one that is named above it', async () => {
    const burst = { name: 'burst', limit: 10, windowSeconds: 1 };
    const { slug, answer } = await service({ defaultRateLimits: [burst] });
    expect((answer.body as Service).policy.defaultRateLimits).toEqual([burst]);
    const low = { ...burst, limit: 5 };
    expect((await setPolicy(slug, { maxRateLimits: [low] })).policy.defaultRateLimits).toEqual([
      low,
    ]);
    const policy = { defaultRateLimits: [burst] };
    expect(problemIn(await call('patch', `/v1/services/${slug}`).send({ policy }))).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: ['/policy/defaultRateLimits/0'],
    });
  });

  test('may require a list of addresses', async () => {
    const { create, issue } = await service({ ipAllowlistRequired: true });
    expect(problemIn(await create())).toEqual(violated('/ipAllowlist'));
    expect(problemIn(await create({ ipAllowlist: ['0.0.0.0/0'] }))).toEqual(
      violated('/ipAllowlist'),
    );
    const key = await issue({ ipAllowlist: ['10.0.0.0/8'] });
    expect(problemIn(await patchKey(key.id, 1, { ipAllowlist: [] }))).toEqual(
      violated('/ipAllowlist'),
    );
  });

  test('says which scopes may be granted; a wildcard above them is not one', async () => {
    const { create, issue, slug } = await service({ grantableScopes: ['reports:read'] });
    const scopes = ['reports:read', 'reports:*', 'users:read'];
    expect(problemIn(await create({ grants: [{ service: slug, scopes }] }))).toEqual(
      violated('/grants/0/scopes/1', '/grants/0/scopes/2'),
    );
    const key = await issue();
    const wider = await patchKey(key.id, 1, { grants: [{ service: slug, scopes }] });
    expect(problemIn(wider)).toEqual(violated('/grants/0/scopes/1', '/grants/0/scopes/2'));
  });

  test('a scope that a key holds already stays, and may be narrowed but not widened', async () => {
    const { issue, slug } = await service();
    const key = await issue({ grants: [{ service: slug, scopes: ['reports:*', 'users:read'] }] });
    await setPolicy(slug, { grantableScopes: ['users:read'] });
    const kept = await patchKey(key.id, 1, { grants: [{ service: slug, scopes: ['reports:*'] }] });
    expect(kept.status).toBe(200);
    const narrow = [{ service: slug, scopes: ['reports:read'] }];
    expect((await patchKey(key.id, 2, { grants: narrow })).status).toBe(200);
    const wide = [{ service: slug, scopes: ['reports:*'] }];
    expect(problemIn(await patchKey(key.id, 3, { grants: wide }))).toEqual(
      violated('/grants/0/scopes/0'),
    );
  });

  test('scopes that it names are of the catalogue, and stay in it', async () => {
    const { slug } = await service({
      sensitiveScopes: ['reports:write'],
      grantableScopes: ['reports:*'],
    });
    for (const name of ['grantableScopes', 'sensitiveScopes']) {
      const strange = await call('patch', `/v1/services/${slug}`).send({
        policy: { [name]: ['reports:read', 'orders:read'] },
      });
      expect(problemIn(strange)).toEqual({
        status: 400,
        code: 'INVALID_REQUEST',
        pointers: [`/policy/${name}/1`],
      });
    }
    const gone = await call('patch', `/v1/services/${slug}`).send({ scopes: ['reports:read'] });
    expect(problemIn(gone)).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: ['/scopes'],
    });
  });

  test('a key that a strict service is added to meets its policy in everything', async () => {
    const lax = await service();
    const burst = { name: 'burst', limit: 1, windowSeconds: 1 };
    const strict = await service({
      maxLifetimeSeconds: 60,
      ipAllowlistRequired: true,
      maxRateLimits: [burst],
    });
    const key = await lax.issue();
    const grants = [...lax.grants, ...strict.grants];
    expect(problemIn(await patchKey(key.id, 1, { grants }))).toEqual(
      violated('/expiresAt', '/rateLimits', '/ipAllowlist'),
    );
    const settings = { rateLimits: [burst], ipAllowlist: ['::1'], expiresInSeconds: 60 };
    expect((await patchKey(key.id, 1, { grants, ...settings })).status).toBe(200);
    const { body } = await call('get', `/v1/keys/${key.id}`);
    expect((body as Key).grants).toHaveLength(2);
  });

  test('a key that breaks it is not rotated with an overlap, but its old secret can be ended', async () => {
    const { issue, slug } = await service();
    const key = await issue();
    await setPolicy(slug, { ipAllowlistRequired: true });
    const path = `/v1/keys/${key.id}/rotate`;
    expect(problemIn(await call('post', path).send({}))).toEqual(violated('/ipAllowlist'));
    expect((await call('post', path).send({ overlapSeconds: 0 })).status).toBe(200);
    expect((await patchKey(key.id, 2, { ipAllowlist: ['::1'] })).status).toBe(200);
    expect((await call('post', path).send({})).status).toBe(200);
  });
});

describe('a change of policy', () => {
  test('says which keys break it now; a page says how, and they stay valid', async () => {
    const { issue, slug, grants } = await service();
    const bound = await issue({ name: 'bound', ipAllowlist: ['::1'] });
    const { body } = await call('post', '/v1/keys').send({ ...keyBody(), name: 'open', grants });
    const open = body as IssuedKey;
    const fast = { name: 'burst', limit: 11, windowSeconds: 1 };
    const quick = await issue({ name: 'quick', ipAllowlist: ['::1'], rateLimits: [fast] });
    const revoked = await issue();
    await call('post', `/v1/keys/${revoked.id}/revoke`).send({ reason: 'retired' });
    expect((await setPolicy(slug, { graceSeconds: 1 })).violations).toEqual({
      count: 0,
      keyIds: [],
    });
    const maxRateLimits = [{ ...fast, limit: 10 }];
    const policy = { ipAllowlistRequired: true, maxRateLimits };
    expect((await setPolicy(slug, policy)).violations).toEqual({
      count: 3,
      keyIds: [quick.id, open.key.id, bound.id],
    });
    const path = `/v1/services/${slug}/violations`;
    const first = (await call('get', `${path}?limit=2`)).body as Page;
    const missing = {
      pointer: '/rateLimits',
      detail: `${slug} requires a limit named burst of at most 10 in 1 s`,
    };
    const address = {
      pointer: '/ipAllowlist',
      detail: `${slug} requires a list of addresses, none wider than /8 or, in IPv6, /16`,
    };
    const high = { pointer: '/rateLimits/0', detail: `${slug} allows at most 10 in 1 s` };
    const consumer = 'service-b';
    expect(first.data).toEqual([
      { keyId: quick.id, name: 'quick', consumer, faults: [high] },
      { keyId: open.key.id, name: 'open', consumer, faults: [missing, address] },
    ]);
    const second = (await call('get', `${path}?cursor=${first.nextCursor}`)).body as Page;
    expect(second).toEqual({
      data: [{ keyId: bound.id, name: 'bound', consumer, faults: [missing] }],
      nextCursor: null,
    });
    expect(await world.codeOf(open.secret, slug)).toBe('VALID');
    await setPolicy(slug, { ipAllowlistRequired: false, maxRateLimits: [] });
    expect((await call('get', path)).body).toEqual({ data: [], nextCursor: null });
  });

  test('what the database finds is what the rules say', async () => {
    const { issue, slug } = await service();
    const long = await issue({ expiresAt: null });
    const short = await issue({ expiresInSeconds: 30 });
    const wild = await issue({
      grants: [{ service: slug, scopes: ['reports:*'] }],
      expiresInSeconds: 30,
    });
    const under = await issue({
      grants: [{ service: slug, scopes: ['reports:write'] }],
      expiresInSeconds: 30,
      ipAllowlist: ['::/0'],
    });
    const idsFor = async (policy: Partial<Policy>) =>
      (await setPolicy(slug, policy)).violations.keyIds.toSorted();
    const sorted = (...keys: Key[]) => keys.map((one) => one.id).toSorted();
    expect(await idsFor({ expiryRequired: true })).toEqual(sorted(long));
    expect(await idsFor({ expiryRequired: false, maxLifetimeSeconds: 60 })).toEqual(sorted(long));
    expect(await idsFor({ maxLifetimeSeconds: 10 })).toEqual(sorted(long, short, wild, under));
    expect(await idsFor({ maxLifetimeSeconds: null, grantableScopes: ['reports:read'] })).toEqual(
      sorted(wild, under),
    );
    expect(await idsFor({ grantableScopes: ['reports:*'] })).toEqual([]);
    expect(await idsFor({ grantableScopes: [] })).toEqual(sorted(long, short, wild, under));
    expect(await idsFor({ grantableScopes: null, ipAllowlistRequired: true })).toEqual(
      sorted(long, short, wild, under),
    );
  });

  test('what the database finds is what the rules say, whatever the keys and the policy are', async () => {
    const { now } = management.material;
    const nowMs = now();
    management.material.now = () => nowMs;
    const { slug, issue } = await service();
    const keys = await Promise.all(
      fc.sample(someKey(slug, nowMs), 40).map((settings) => issue(settings)),
    );
    const property = fc.asyncProperty(somePolicy, async (policy) => {
      const changed = await setPolicy(slug, policy);
      const broken = keys.filter(({ expiresAt, ...settings }) => {
        const expiresAtMs = expiresAt === null ? null : Date.parse(expiresAt);
        return keyFaults({ ...settings, expiresAtMs }, [changed], nowMs).length > 0;
      });
      const ids = broken.map((one) => one.id).toSorted();
      expect(changed.violations.keyIds.toSorted()).toEqual(ids);
    });
    const checked = fc.assert(property, { numRuns: 60 });
    await checked.finally(() => (management.material.now = now));
  });

  test('an admin of some services hears of no key that is not theirs alone', async () => {
    const { issue, slug, grants } = await service();
    const own = await issue();
    await issue({ grants: [...grants, { service: 'service-x', scopes: ['things:read'] }] });
    const token = await management.issuer.person('usr_limited', { services: [slug] });
    const { violations } = await setPolicy(slug, { ipAllowlistRequired: true }, token);
    expect(violations).toEqual({ count: 1, keyIds: [own.id] });
    const page = (await call('get', `/v1/services/${slug}/violations`, token)).body as Page;
    expect(page.data.map((one) => one.keyId)).toEqual([own.id]);
    const other = await call('get', '/v1/services/service-x/violations', token);
    expect(problemIn(other)).toEqual({ status: 404, code: 'NOT_FOUND' });
  });

  test('is answered with 200 also where its keys cannot be counted', async () => {
    const { slug } = await service();
    const { owner } = management.postgres;
    await owner.query('REVOKE SELECT ON keys.key_grant FROM keyward_key_service');
    const answer = await call('patch', `/v1/services/${slug}`).send({
      policy: { expiryRequired: true },
    });
    await owner.query('GRANT SELECT ON keys.key_grant TO keyward_key_service');
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ policy: { expiryRequired: true }, violations: null });
    expect(answer.headers['etag']).toBe('"2"');
    expect((await setPolicy(slug, { graceSeconds: 1 })).violations).toMatchObject({ count: 0 });
  });

  test('a policy stored before there was such a rule is as one that does not use it', async () => {
    const { slug } = await service();
    await management.postgres.owner.query(
      `UPDATE keys.service SET policy = policy - 'maxRateLimits' - 'grantableScopes' WHERE slug = $1`,
      [slug],
    );
    const { body } = await call('get', `/v1/services/${slug}`);
    expect((body as Service).policy).toMatchObject({ maxRateLimits: [], grantableScopes: null });
  });
});

const someLimits = fc.uniqueArray(
  fc.record(
    {
      name: fc.constantFrom('burst', 'day'),
      limit: fc.integer({ min: 1, max: 6 }),
      windowSeconds: fc.integer({ min: 1, max: 6 }),
      sharedBy: fc.constant('consumer' as const),
    },
    { requiredKeys: ['name', 'limit', 'windowSeconds'] },
  ),
  { selector: (one) => one.name, maxLength: 2 },
);

const someRange = fc.constantFrom(
  ...['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', '10.0.0.0/7', '10.0.0.0/8', '192.0.2.1'],
  ...[
    '::ffff:0:0/96',
    '::ffff:0:0/103',
    '::ffff:10.0.0.0/103',
    '::ffff:10.0.0.0/104',
    '::ffff:192.0.2.1',
  ],
  ...[
    '::/0',
    '::/15',
    '::/16',
    '::/64',
    '2000::/3',
    'fc00::/6',
    'fc00::/7',
    'fd00::/8',
    'fe00::/7',
    '::1',
  ],
);

const someKey = (service: string, nowMs: number) =>
  fc.record({
    grants: fc
      .subarray(['reports:read', 'reports:write', 'reports:*', 'users:read'], { minLength: 1 })
      .map((scopes) => [{ service, scopes }]),
    expiresAt: fc
      .option(fc.integer({ min: 1, max: 100 }))
      .map((seconds) => seconds && new Date(nowMs + seconds * 1_000).toISOString()),
    rateLimits: someLimits,
    ipAllowlist: fc.array(someRange, { maxLength: 2 }),
  });

/** One that demands little, so that it is not always broken by the same. */
const somePolicy = fc.record({
  maxLifetimeSeconds: fc.option(fc.integer({ min: 20, max: 200 })),
  expiryRequired: fc.boolean(),
  maxRateLimits: someLimits.map((limits) => limits.slice(1)),
  ipAllowlistRequired: fc.boolean(),
  grantableScopes: fc.option(fc.subarray(['reports:read', 'reports:*', 'users:read'])),
});

interface Page {
  data: Violation[];
  nextCursor: string | null;
}
