import type { IssuedKey, Key, Problem } from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';
import { MAX_KEYS_PER_CONSUMER } from './issue-key.js';

const DAY_MS = 86_400_000;
let management: ManagementApp;
let world: Seed;

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
});
afterAll(() => management.stop());

const create = (body: object, token: string | null = world.admin) =>
  management.call('post', '/v1/keys', token).send(body);
const get = (path: string) => management.call('get', path, world.admin);
const patch = (id: string, version: number, body: object) =>
  management
    .call('patch', `/v1/keys/${id}`, world.admin)
    .set('if-match', `"${version}"`)
    .send(body);
const act = (id: string, action: string, body?: object) =>
  management.call('post', `/v1/keys/${id}/${action}`, world.admin).send(body);
const keyIn = (answer: { body: unknown }) => (answer.body as IssuedKey).key;

describe('issuing', () => {
  test('the whole answer, with the text once and the address by id', async () => {
    const answer = await create({
      ...keyBody(),
      environment: 'test',
      notBefore: '2026-01-01T00:00:00Z',
      expiresInSeconds: 3_600,
      rateLimits: [{ name: 'burst', limit: 10, windowSeconds: 1 }],
      ipAllowlist: ['10.0.0.0/8'],
      tags: ['nightly'],
      metadata: { team: 'billing' },
    });
    expect(answer.status).toBe(201);
    const { key, secret } = answer.body as IssuedKey;
    expect(secret).toMatch(/^kw_test_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/);
    expect(key).toEqual({
      id: `key_${secret.split('_')[2]}`,
      ...keyBody(),
      environment: 'test',
      status: 'active',
      notBefore: '2026-01-01T00:00:00.000Z',
      expiresAt: new Date(Date.parse(key.createdAt) + 3_600_000).toISOString(),
      rateLimits: [{ name: 'burst', limit: 10, windowSeconds: 1 }],
      quota: null,
      ipAllowlist: ['10.0.0.0/8'],
      tags: ['nightly'],
      metadata: { team: 'billing' },
      hint: { prefix: 'kw', last4: secret.slice(-4) },
      rotation: null,
      origin: 'issued',
      createdAt: key.createdAt,
      createdBy: 'usr_admin',
      updatedAt: key.createdAt,
      lastUsedAt: null,
      revokedAt: null,
      revocationReason: null,
      version: 1,
    });
    expect(answer.headers).toMatchObject({
      location: `/v1/keys/${key.id}`,
      etag: '"1"',
      'cache-control': 'no-store',
    });
    expect(answer.text.split(secret)).toHaveLength(2);
  });

  test('no later answer and no table holds the text, and no answer the digest', async () => {
    const { key, secret } = await world.issue({ name: 'shown once' });
    const [{ digest }] = await management.postgres.owner.query<[{ digest: Buffer }]>(
      'SELECT digest FROM keys.secret WHERE key_id = $1',
      [key.id],
    );
    const answers = [
      await get(`/v1/keys/${key.id}`),
      await get('/v1/keys?limit=200'),
      await patch(key.id, 1, { name: 'shown once, still' }),
    ];
    for (const { status, text } of answers) {
      expect(status).toBe(200);
      for (const hidden of [secret, secret.slice(-49, -4)]) expect(text).not.toContain(hidden);
      for (const form of ['hex', 'base64', 'base64url'] as const)
        expect(text).not.toContain(digest.toString(form));
      expect(text).not.toMatch(/pepper|digest|hash/i);
    }
    for (const table of ['key', 'secret', 'change_log', 'key_grant']) {
      expect(await world.count(`${table} t`, `t::text LIKE '%${secret.slice(-49)}%'`)).toBe(0);
    }
  });

  test('grants of several services take the strictest defaults and the first prefix', async () => {
    const strict = { keyPrefix: 'strict', defaultLifetimeSeconds: 60, maxLifetimeSeconds: 120 };
    const limits = [{ name: 'all', limit: 5, windowSeconds: 60 }];
    await management.call('post', '/v1/services', world.admin).send({
      slug: 'strict',
      scopes: ['a:b'],
      policy: { ...strict, expiryRequired: true, defaultRateLimits: limits },
    });
    const grants = [...keyBody().grants, { service: 'strict', scopes: ['a:b'] }];
    const { key } = await world.issue({ grants });
    expect(key.rateLimits).toEqual(limits);
    expect(Date.parse(key.expiresAt!) - Date.parse(key.createdAt)).toBe(60_000);
    expect(key.hint.prefix).toBe('kw');
    const alone = await world.issue({ grants: grants.slice(1), rateLimits: [] });
    expect(alone.key.hint.prefix).toBe('strict');
    expect(alone.key.rateLimits).toEqual([]);
    const tooLong = await create({ ...keyBody(), grants, expiresInSeconds: 121 });
    expect(problemIn(tooLong)).toEqual({
      status: 400,
      code: 'POLICY_VIOLATION',
      pointers: ['/expiresInSeconds'],
    });
    const never = await create({ ...keyBody(), grants, expiresAt: null });
    expect(problemIn(never)).toEqual({
      status: 400,
      code: 'POLICY_VIOLATION',
      pointers: ['/expiresAt'],
    });
  });

  test('what does not exist is named by its pointer', async () => {
    const grants = [...keyBody().grants, { service: 'nowhere', scopes: ['a:b'] }];
    expect(problemIn(await create({ ...keyBody(), grants }))).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: ['/grants/1/service'],
    });
    const ofNobody = await create({ ...keyBody(), consumer: 'nobody' });
    expect(problemIn(ofNobody)).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: ['/consumer'],
    });
    expect(ofNobody.body).toMatchObject({ detail: expect.stringContaining('POST /v1/consumers') });
    const unknownScope = [{ service: 'service-a', scopes: ['reports:read', 'reports:burn'] }];
    expect(problemIn(await create({ ...keyBody(), grants: unknownScope }))).toEqual({
      status: 400,
      code: 'POLICY_VIOLATION',
      pointers: ['/grants/0/scopes/1'],
    });
  });

  test.each([
    ['in the past', '2020-01-01T00:00:00Z'],
    ['now', new Date(Date.now()).toISOString()],
    ['in a hundred years', new Date(Date.now() + 36_500 * DAY_MS).toISOString()],
    ['in year 1', '0001-01-01T00:00:00Z'],
    ['in epoch seconds', 1_900_000_000],
    ['in epoch milliseconds', 1_900_000_000_000],
    ['as text that is no time', 'tomorrow'],
    ['as a day', '2030-01-01'],
    ['as a negative number', -1],
    ['as an empty text', ''],
    ['as false', false],
  ])('an expiry %s is refused', async (_, expiresAt) => {
    const answer = await create({ ...keyBody(), expiresAt });
    expect(problemIn(answer)).toMatchObject({ status: 400, pointers: ['/expiresAt'] });
  });

  test('an expiry in the past is no matter of policy, and the answer says what time it is', async () => {
    const answer = await create({ ...keyBody(), expiresAt: '2020-01-01T00:00:00Z' });
    expect(problemIn(answer)).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: ['/expiresAt'],
    });
    const { detail, errors } = answer.body as Problem;
    expect(errors).toEqual([expect.objectContaining({ code: 'INVALID_VALUE' })]);
    expect(detail).toMatch(/^\/expiresAt: Use a time after now, 2\S+Z, at the latest 2\S+Z$/);
  });

  test('never without an expiry by accident: leaving it out takes the default, only null asks for none', async () => {
    const { key } = await world.issue();
    expect(Date.parse(key.expiresAt!) - Date.parse(key.createdAt)).toBe(90 * DAY_MS);
    const forever = await world.issue({ expiresAt: null });
    expect(forever.key.expiresAt).toBeNull();
    const [row] = await management.postgres.owner.query<[{ after: object }]>(
      'SELECT after FROM keys.change_log WHERE target_id = $1',
      [forever.key.id],
    );
    expect(row.after).toMatchObject({ expiresAt: null });
    const huge = await management
      .call('post', '/v1/keys', world.admin)
      .type('json')
      .send(JSON.stringify({ ...keyBody(), expiresInSeconds: 0 }).replace(':0}', ':1e400}'));
    expect(problemIn(huge)).toMatchObject({ status: 400, pointers: ['/expiresInSeconds'] });
  });

  test.each([
    ['9007199254740993', '9007199254740993'],
    ['1e400', '1e400'],
    ['-0', '-0'],
    ['a fraction', '0.30000000000000004'],
    ['a text', '"5"'],
  ])('a limit of %s is refused, never rounded', async (_, literal) => {
    const rateLimits = [{ name: 'x', limit: 'HERE', windowSeconds: 1 }];
    const body = JSON.stringify({ ...keyBody(), rateLimits }).replace('"HERE"', literal);
    const answer = await management.call('post', '/v1/keys', world.admin).type('json').send(body);
    expect(problemIn(answer)).toMatchObject({ status: 400, pointers: ['/rateLimits/0/limit'] });
  });

  test.each([
    ['nothing', '', 400],
    ['one character', 'x', 201],
    ['128 characters', 'x'.repeat(128), 201],
    ['129 characters', 'x'.repeat(129), 400],
    ['an emoji', '🔑 job', 201],
    ['128 emoji', '🔑'.repeat(128), 201],
    ['129 emoji', '🔑'.repeat(129), 400],
    ['right to left', 'مفتاح', 201],
    ['markup', '<script>alert(1)</script>', 201],
    ['a formula', '=cmd()', 201],
    ['a lookup', '${jndi:ldap://x}', 201],
    ['SQL', `'; DROP TABLE keys.key; --`, 201],
    ['a line break', 'a\r\nb', 400],
    ['a line separator', 'a\u2028b', 400],
    ['an escape', 'a\u001b[31mb', 400],
    ['only spaces', '   ', 400],
  ])('a name of %s', async (_, name, status) => {
    const answer = await create({ ...keyBody(), name });
    expect(answer.status).toBe(status);
    const stored = status === 201 ? keyIn(answer).name : problemIn(answer).pointers;
    expect(stored).toEqual(status === 201 ? name : ['/name']);
  });

  test.each([
    'key',
    'hash',
    'id',
    'createdAt',
    'createdBy',
    'tenantId',
    'ownerId',
    'userId',
    'user_id',
    'remaining',
    'pepperVersion',
    'status',
    'version',
    'permissions',
    'rateLimitMax',
    'constructor',
  ])('%s is not the caller’s to set', async (name) => {
    const before = await world.count('key');
    const answer = await create({ ...keyBody(), [name]: 'usr_victim' });
    expect(problemIn(answer)).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: [`/${name}`],
    });
    expect(await world.count('key')).toBe(before);
  });

  test.each([
    '{"__proto__":{"polluted":1},',
    '{"constructor":{"prototype":{"polluted":1}},',
    '{"metadata":{"__proto__":{"polluted":1}},',
    '{"metadata":{"a":{"__proto__":{"polluted":1}}},',
    '{"metadata":{"constructor":{"prototype":{"polluted":1}}},',
  ])('a prototype in the body is refused: %s', async (start) => {
    const body = start + JSON.stringify(keyBody()).slice(1);
    const answer = await management.call('post', '/v1/keys', world.admin).type('json').send(body);
    expect(answer.status).toBe(400);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect((await world.issue({ metadata: { plain: 1 } })).key.metadata).toEqual({ plain: 1 });
  });

  test('without a token nothing is written', async () => {
    const { key } = await world.issue();
    const before = [await world.count('key'), await world.count('change_log')];
    const body = {
      userId: 'usr_victim',
      name: 'x',
      permissions: { all: ['*'] },
      rateLimitMax: 999_999,
    };
    const { call } = management;
    const answers = [
      await call('post', '/v1/keys', null).send(body),
      await call('patch', `/v1/keys/${key.id}`, null).set('if-match', '"1"').send(body),
      await call('post', `/v1/keys/${key.id}/rotate`, null).send(body),
      await call('post', `/v1/keys/${key.id}/revoke`, null).send({ reason: 'retired' }),
    ];
    for (const answer of answers) {
      expect(problemIn(answer)).toEqual({ status: 401, code: 'UNAUTHENTICATED' });
    }
    expect([await world.count('key'), await world.count('change_log')]).toEqual(before);
  });

  test('a key that is not valid before it expires is refused', async () => {
    const late = new Date(Date.now() + 2 * DAY_MS).toISOString();
    const answer = await create({ ...keyBody(), notBefore: late, expiresInSeconds: 86_400 });
    expect(problemIn(answer)).toMatchObject({ status: 400, pointers: ['/notBefore'] });
  });

  test('a disabled consumer gets no key', async () => {
    await management.call('post', '/v1/consumers', world.admin).send({
      slug: 'sleeping',
      enabled: false,
    });
    const answer = await create({ ...keyBody(), consumer: 'sleeping' });
    expect(problemIn(answer)).toEqual({ status: 409, code: 'CONFLICT' });
  });

  test('a consumer holds a bounded number of keys; revoked ones do not count', async () => {
    await management.call('post', '/v1/consumers', world.admin).send({ slug: 'hoarder' });
    await management.postgres.owner.query(
      `INSERT INTO keys.key (id, name, consumer, environment, created_by)
       SELECT 'key_' || lpad(n::text, 16, '0'), 'x', 'hoarder', 'live', 'x' FROM generate_series(1, $1) n`,
      [MAX_KEYS_PER_CONSUMER],
    );
    const answer = await create({ ...keyBody(), consumer: 'hoarder' });
    expect(problemIn(answer)).toEqual({ status: 409, code: 'CONFLICT' });
    await management.postgres.owner.query(
      `UPDATE keys.key SET state = 'revoked', revoked_at = now() WHERE id = 'key_0000000000000001'`,
    );
    await expect(world.issue({ consumer: 'hoarder' })).resolves.toBeDefined();
    await management.postgres.owner.query(
      `DELETE FROM keys.key WHERE consumer = 'hoarder' AND created_by = 'x'`,
    );
  });
});

describe('changing', () => {
  test('all that may be set can be changed, and what verification says follows', async () => {
    const { key, secret } = await world.issue();
    expect(await world.codeOf(secret)).toBe('VALID');
    const body = {
      name: 'other',
      grants: [{ service: 'service-x', scopes: ['things:read'] }],
      expiresAt: '2027-01-01T00:00:00.000Z',
      notBefore: '2026-01-01T00:00:00.000Z',
      rateLimits: [{ name: 'r', limit: 1, windowSeconds: 1 }],
      ipAllowlist: ['::1'],
      tags: ['t'],
      metadata: { m: 1 },
    };
    const answer = await patch(key.id, 1, body);
    const shown = answer.body as Key;
    expect(answer.status).toBe(200);
    expect(answer.headers['etag']).toBe('"2"');
    expect(shown).toEqual({ ...key, ...body, version: 2, updatedAt: shown.updatedAt });
    expect((await get(`/v1/keys/${key.id}`)).body).toEqual(shown);
    expect(await world.codeOf(secret)).toBe('NOT_FOUND');
  });

  test('only the version that was read is changed', async () => {
    const { key } = await world.issue();
    const path = `/v1/keys/${key.id}`;
    const without = await management.call('patch', path, world.admin).send({ name: 'x' });
    expect(problemIn(without)).toEqual({ status: 428, code: 'IF_MATCH_REQUIRED' });
    for (const tag of ['"2"', 'W/"1"', '"0", "7"', '""']) {
      const answer = await management
        .call('patch', path, world.admin)
        .set('if-match', tag)
        .send({ name: 'x' });
      expect(problemIn(answer)).toEqual({ status: 412, code: 'VERSION_MISMATCH' });
    }
    const junk = await management
      .call('patch', path, world.admin)
      .set('if-match', '1')
      .send({ name: 'x' });
    expect(problemIn(junk)).toEqual({ status: 400, code: 'INVALID_HEADER' });
    const listed = await management
      .call('patch', path, world.admin)
      .set('if-match', '"9", "1"')
      .send({ name: 'listed' });
    expect(listed.status).toBe(200);
    const any = await management
      .call('patch', path, world.admin)
      .set('if-match', '*')
      .send({ name: 'y' });
    expect((any.body as Key).version).toBe(3);
  });

  test('of two changes of one version at the same time one wins and nothing is lost', async () => {
    const { key } = await world.issue();
    const answers = await Promise.all([
      patch(key.id, 1, { grants: [{ service: 'service-a', scopes: ['reports:write'] }] }),
      patch(key.id, 1, { expiresInSeconds: 60 }),
    ]);
    const statuses = answers.map((one) => one.status).toSorted((a, b) => a - b);
    expect(statuses).toEqual([200, 412]);
    const winner = answers.find((one) => one.status === 200)!;
    expect((await get(`/v1/keys/${key.id}`)).body).toEqual(winner.body);
  });

  test.each([
    ['scopes', []],
    ['tenantId', 'x'],
    ['ownerId', 'x'],
    ['consumer', 'other'],
    ['remaining', 5],
    ['createdBy', 'x'],
    ['hash', 'x'],
    ['revokedAt', null],
    ['status', 'active'],
    ['state', 'active'],
    ['environment', 'test'],
    ['version', 7],
    ['id', null],
  ])('%s cannot be changed', async (name, value) => {
    const { key } = await world.issue();
    const answer = await patch(key.id, 1, { name: 'renamed', [name]: value });
    expect(problemIn(answer)).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: [`/${name}`],
    });
    expect((await get(`/v1/keys/${key.id}`)).body).toEqual(key);
  });

  test('a change stays within the policies and the catalogue', async () => {
    const { key } = await world.issue();
    const past = await patch(key.id, 1, { expiresAt: '2026-01-01T00:00:00Z' });
    expect(problemIn(past)).toMatchObject({ code: 'INVALID_REQUEST', pointers: ['/expiresAt'] });
    const grants = [{ service: 'service-a', scopes: ['reports:burn'] }];
    const scope = await patch(key.id, 1, { grants });
    expect(problemIn(scope)).toMatchObject({ pointers: ['/grants/0/scopes/0'] });
    const wild = await patch(key.id, 1, {
      grants: [{ service: 'service-a', scopes: ['reports:*'] }],
    });
    expect(wild.status).toBe(200);
    const start = await patch(key.id, 2, { notBefore: '2100-01-01T00:00:00Z' });
    expect(problemIn(start)).toMatchObject({ status: 400, pointers: ['/notBefore'] });
    expect(problemIn(await patch(key.id, 2, {}))).toMatchObject({ status: 400 });
  });
});

describe('the end of a key', () => {
  test('revoking is final, and repeating it changes nothing', async () => {
    const { key, secret } = await world.issue();
    const first = await act(key.id, 'revoke', { reason: 'leaked', comment: 'in a log' });
    const shown = keyIn(first);
    expect(first.status).toBe(200);
    expect(first.body).toEqual({
      key: {
        ...key,
        status: 'revoked',
        version: 2,
        updatedAt: shown.updatedAt,
        revokedAt: shown.revokedAt,
        revocationReason: 'leaked',
      },
      propagation: { confirmed: true, boundSeconds: 0, ms: expect.any(Number) },
    });
    expect(await world.codeOf(secret)).toBe('REVOKED');
    const again = await act(key.id, 'revoke', { reason: 'retired' });
    expect(again.status).toBe(200);
    expect(keyIn(again)).toEqual(shown);
    const refused = [
      await act(key.id, 'enable'),
      await act(key.id, 'disable'),
      await act(key.id, 'rotate', {}),
      await patch(key.id, 2, { name: 'x' }),
    ];
    for (const answer of refused)
      expect(problemIn(answer)).toEqual({ status: 409, code: 'CONFLICT' });
    expect(await world.count('change_log', `target_id = '${key.id}'`)).toBe(2);
    expect(await world.codeOf(secret)).toBe('REVOKED');
  });

  test.each([[{}], [{ reason: ' ' }], [{ reason: 'leaked', extra: 1 }], [undefined]])(
    'revoking needs a reason: %j',
    async (body) => {
      const { key } = await world.issue();
      expect(problemIn(await act(key.id, 'revoke', body))).toMatchObject({ status: 400 });
      expect((await get(`/v1/keys/${key.id}`)).body).toEqual(key);
    },
  );

  test('disabling is undone by enabling; repeating either changes nothing', async () => {
    const { key, secret } = await world.issue();
    const disabled = await act(key.id, 'disable');
    expect(keyIn(disabled)).toMatchObject({ status: 'disabled', version: 2 });
    expect(keyIn(await act(key.id, 'disable'))).toEqual(keyIn(disabled));
    expect(await world.codeOf(secret)).toBe('DISABLED');
    const enabled = await act(key.id, 'enable');
    expect(keyIn(enabled)).toMatchObject({ status: 'active', version: 3 });
    expect(keyIn(await act(key.id, 'enable'))).toEqual(keyIn(enabled));
    expect(await world.codeOf(secret)).toBe('VALID');
    expect(await world.count('change_log', `target_id = '${key.id}'`)).toBe(3);
  });

  test('what is shown: revoked before expired, expired before disabled', async () => {
    const { key } = await world.issue({ expiresInSeconds: 60 });
    const { material } = management;
    const { now } = material;
    await act(key.id, 'disable');
    material.now = () => Date.parse(key.expiresAt!) - 1;
    const before = (await get(`/v1/keys/${key.id}`)).body as Key;
    material.now = () => Date.parse(key.expiresAt!);
    const at = (await get(`/v1/keys/${key.id}`)).body as Key;
    const listed = async (status: string) =>
      ((await get(`/v1/keys?status=${status}&limit=200`)).body as { data: Key[] }).data.map(
        (one) => one.id,
      );
    const expired = await listed('expired');
    const disabled = await listed('disabled');
    material.now = now;
    await act(key.id, 'revoke', { reason: 'retired' });
    const last = (await get(`/v1/keys/${key.id}`)).body as Key;
    expect([before.status, at.status, last.status]).toEqual(['disabled', 'expired', 'revoked']);
    expect(expired).toContain(key.id);
    expect(disabled).not.toContain(key.id);
    expect(await listed('revoked')).toContain(key.id);
  });
});

describe('addresses', () => {
  test.each([
    'null',
    'undefined',
    'key_',
    'key_short',
    '%00',
    "key_' OR 1=1 --aaaa",
    '*',
    '0',
    '1e3',
  ])('an id of %s reaches no row', async (id) => {
    const before = await world.count('key', 'version = 1');
    const path = `/v1/keys/${encodeURIComponent(id)}`;
    const { call } = management;
    const answers = [
      await call('get', path, world.admin),
      await call('patch', path, world.admin).set('if-match', '*').send({ name: 'x' }),
      await call('post', `${path}/revoke`, world.admin).send({ reason: 'retired' }),
      await call('post', `${path}/rotate`, world.admin).send({}),
      await call('post', `${path}/disable`, world.admin),
    ];
    for (const { status } of answers) expect([400, 404]).toContain(status);
    expect(await world.count('key', 'version = 1')).toBe(before);
  });

  test('an id in the query or missing from the path reaches no row', async () => {
    const { key } = await world.issue();
    const { call } = management;
    const answers = [
      await call('get', `/v1/keys?id=${key.id}`, world.admin),
      await call('post', `/v1/keys//revoke?id=${key.id}`, world.admin).send({ reason: 'retired' }),
      await call('patch', `/v1/keys?id=${key.id}`, world.admin)
        .set('if-match', '*')
        .send({ name: 'x' }),
      await call('post', '/v1/keys/revoke', world.admin).send({ id: null, reason: 'retired' }),
    ];
    for (const { status } of answers) expect([400, 404, 405]).toContain(status);
    expect((await get(`/v1/keys/${key.id}`)).body).toEqual(key);
  });

  test('an unknown id is 404', async () => {
    const answer = await get('/v1/keys/key_0000000000000000');
    expect(problemIn(answer)).toEqual({ status: 404, code: 'NOT_FOUND' });
  });
});
