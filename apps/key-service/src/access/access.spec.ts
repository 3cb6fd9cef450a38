import type { ImportedKeys, Key } from '#contracts';
import { newRecipient } from '#key-core';
import { startManagement, type ManagementApp, type Method } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

let management: ManagementApp;
let world: Seed;
let tokens: Record<string, string>;

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
  const made = await management.call('post', '/v1/imports', world.admin).send(importBody);
  importId = (made.body as ImportedKeys).import.id;
  const { person, service } = management.issuer;
  tokens = {
    admin: world.admin,
    adminOfA: await person('usr_a', { services: ['service-a'] }),
    adminOfX: await person('usr_x', { services: ['service-x'] }),
    adminOfNone: await person('usr_none', { services: [] }),
    auditor: await person('usr_auditor', { roles: ['auditor'] }),
    auditorOfX: await person('usr_auditor_x', { roles: ['auditor'], services: ['service-x'] }),
    user: await person('usr_user', { roles: ['user'] }),
    nobody: await person('usr_nobody', { roles: [] }),
    provisioner: await service('service-a'),
    verifier: await service('service-a', 'keys:verify'),
    otherProvisioner: await service('service-x'),
  };
});
afterAll(() => management.stop());

type Who = string | null;
const tokenOf = (who: Who) => (who === null ? null : tokens[who]!);
const call = (who: Who, method: Method, path: string) =>
  management.call(method, path, tokenOf(who));
const stateOf = async () => [await world.count('key'), await world.count('change_log')];

/** Every management route with a request that is good in itself. */
const ROUTES: [name: string, method: Method, path: (id: string) => string, body?: () => object][] =
  [
    ['list services', 'get', () => '/v1/services'],
    ['read a service', 'get', () => '/v1/services/service-a'],
    ['add a service', 'post', () => '/v1/services', () => ({ slug: fresh(), scopes: ['a:b'] })],
    ['change a service', 'patch', () => '/v1/services/service-a', () => ({ name: 'Service A' })],
    ['list violations', 'get', () => '/v1/services/service-a/violations'],
    ['list consumers', 'get', () => '/v1/consumers'],
    ['read a consumer', 'get', () => '/v1/consumers/service-b'],
    ['add a consumer', 'post', () => '/v1/consumers', () => ({ slug: fresh() })],
    ['change a consumer', 'patch', () => '/v1/consumers/service-b', () => ({ name: 'Service B' })],
    ['list keys', 'get', () => '/v1/keys'],
    ['issue a key', 'post', () => '/v1/keys', keyBody],
    ['read a key', 'get', (id) => `/v1/keys/${id}`],
    ['change a key', 'patch', (id) => `/v1/keys/${id}`, () => ({ name: 'x' })],
    ['rotate a key', 'post', (id) => `/v1/keys/${id}/rotate`, () => ({})],
    ['read a rotation', 'get', (id) => `/v1/keys/${id}/rotation`],
    [
      'extend a rotation',
      'post',
      (id) => `/v1/keys/${id}/rotation/extend`,
      () => ({ overlapSeconds: 60 }),
    ],
    ['finish a rotation', 'post', (id) => `/v1/keys/${id}/rotation/finish`, () => ({})],
    ['read usage', 'get', () => '/v1/usage'],
    ['count by pepper', 'get', () => '/v1/peppers'],
    ['revoke a key', 'post', (id) => `/v1/keys/${id}/revoke`, () => ({ reason: 'retired' })],
    ['revoke keys', 'post', () => '/v1/keys/revoke', () => bulkRevocation],
    ['disable a key', 'post', (id) => `/v1/keys/${id}/disable`],
    ['enable a key', 'post', (id) => `/v1/keys/${id}/enable`],
    ['import keys', 'post', () => '/v1/imports', () => importBody],
    ['export keys', 'post', () => '/v1/exports', () => exportBody()],
    ['list imports', 'get', () => '/v1/imports'],
    ['read an import', 'get', () => `/v1/imports/${importId}`],
    ['read parity', 'get', () => `/v1/imports/${importId}/parity`],
    [
      'move imports',
      'post',
      () => '/v1/imports/move',
      () => ({ service: 'service-a', mode: 'shadow' }),
    ],
    ['move an import', 'patch', () => `/v1/imports/${importId}`, () => ({ mode: 'shadow' })],
    [
      'explain a key',
      'post',
      (id) => `/v1/keys/${id}/explain`,
      () => ({ service: 'service-a', scopes: ['reports:read'] }),
    ],
  ];
/** Asked by services about keys, and by holders with their key; each has tests of its own. */
const FOR_OTHERS = [
  'post /v1/keys/verify',
  'post /v1/keys/verify-batch',
  'post /v1/introspect',
  'post /v1/usage',
  'get /v1/exports/keys',
  'get /v1/changes',
  'get /v1/migration',
  'post /v1/migration/parity',
  'get /v1/self',
  'post /v1/self/rotate',
  'post /v1/self/revoke',
];
/** Of keys that nobody has: who may ask it gets 200, whatever is theirs. */
const bulkRevocation = { filter: { tag: 'held-by-none' }, reason: 'policy' };
let importId = '';
const exportBody = () => ({ service: 'service-a', recipientKey: newRecipient().publicKey });
/** An import into which nothing goes. */
const importBody = { service: 'service-a', scheme: { algorithm: 'sha256' }, items: [{}] };
let number = 0;
const fresh = () => `made-${++number}`;

const WITHOUT_ROTATION = { 'extend a rotation': 409, 'finish a rotation': 409 };

/** What each answers: one status for reads and one for changes, then exceptions. */
const MATRIX: [who: Who, reads: number, changes: number, except: Record<string, number>][] = [
  [null, 401, 401, {}],
  ['user', 403, 403, {}],
  ['nobody', 403, 403, {}],
  ['verifier', 403, 403, {}],
  ['provisioner', 403, 403, {}],
  ['auditor', 200, 403, { 'explain a key': 200 }],
  [
    'auditorOfX',
    404,
    403,
    {
      'list services': 200,
      'list consumers': 200,
      'list keys': 200,
      'list imports': 200,
      'read a consumer': 200,
      'explain a key': 404,
      'read usage': 200,
    },
  ],
  [
    'admin',
    200,
    200,
    { 'add a service': 201, 'add a consumer': 201, 'issue a key': 201, ...WITHOUT_ROTATION },
  ],
  [
    'adminOfA',
    200,
    200,
    {
      'add a service': 403,
      'add a consumer': 201,
      'issue a key': 201,
      'count by pepper': 404,
      ...WITHOUT_ROTATION,
    },
  ],
  [
    'adminOfX',
    404,
    404,
    {
      'list services': 200,
      'list consumers': 200,
      'list keys': 200,
      'list imports': 200,
      'read a consumer': 200,
      'read usage': 200,
      'add a service': 403,
      'add a consumer': 201,
      'revoke keys': 200,
      'change a consumer': 403,
      'issue a key': 400,
      'import keys': 400,
      'export keys': 400,
    },
  ],
  [
    'adminOfNone',
    404,
    404,
    {
      'list services': 200,
      'list consumers': 200,
      'list keys': 200,
      'list imports': 200,
      'read a consumer': 200,
      'read usage': 200,
      'add a service': 403,
      'add a consumer': 201,
      'revoke keys': 200,
      'change a consumer': 403,
      'issue a key': 400,
      'import keys': 400,
      'export keys': 400,
    },
  ],
];

describe('every route for everybody', () => {
  test('the table above has every route there is', async () => {
    const { body } = await management.call('get', '/openapi.json', null);
    const paths = (body as { paths: Record<string, Record<string, unknown>> }).paths;
    const served = Object.entries(paths)
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`))
      .filter((route) => !FOR_OTHERS.includes(route));
    const listed = ROUTES.map(
      ([, method, path]) =>
        `${method} ${path('{id}')
          .replace(/(services|consumers)\/[^/]+/, '$1/{slug}')
          .replace(/imports\/imp_[^/]+/, 'imports/{id}')}`,
    );
    expect(served.toSorted()).toEqual(listed.toSorted());
  });

  test.each(MATRIX)('%s', async (who, reads, changes, except) => {
    for (const [name, method, path, body] of ROUTES) {
      const { key } = await world.issue();
      const before = await stateOf();
      const request = call(who, method, path(key.id));
      const answer = await (method === 'patch' ? request.set('if-match', '*') : request).send(
        body?.(),
      );
      const expected = except[name] ?? (method === 'get' ? reads : changes);
      expect([name, answer.status]).toEqual([name, expected]);
      const after = await stateOf();
      expect([name, expected < 400 ? before : after]).toEqual([name, before]);
    }
  });
});

describe('an admin of one service', () => {
  test('gets for a key of others what an unknown key gets, and changes nothing', async () => {
    const both = [...keyBody().grants, { service: 'service-x', scopes: ['things:read'] }];
    const { key } = await world.issue({ grants: both });
    const before = await stateOf();
    const unknown = 'key_0000000000000000';
    for (const [name, method, path, body] of ROUTES.filter(
      ([, , path]) => path('/') !== path(''),
    )) {
      const answers = await Promise.all(
        [key.id, unknown].map(async (id) => {
          const answer = await call('adminOfX', method, path(id))
            .set('if-match', '"1"')
            .send(body?.());
          const { requestId: _, ...problem } = answer.body as Record<string, unknown>;
          return JSON.stringify(problem).replaceAll(id, 'ID');
        }),
      );
      expect([name, answers[0]]).toEqual([name, answers[1]]);
      expect(answers[0]).toContain('NOT_FOUND');
    }
    expect(await stateOf()).toEqual(before);
    const { body } = await call('adminOfX', 'get', '/v1/keys?limit=200');
    expect((body as { data: Key[] }).data.map((one) => one.id)).not.toContain(key.id);
    const byFilter = await call('adminOfX', 'get', '/v1/keys?service=service-a');
    expect(byFilter.body).toEqual({ data: [], nextCursor: null });
  });

  test('grants nothing of another service, neither at issue nor by a change', async () => {
    const foreign = [{ service: 'service-x', scopes: ['things:read'] }];
    const refused = { status: 400, code: 'INVALID_REQUEST', pointers: ['/grants/0/service'] };
    const issued = await call('adminOfA', 'post', '/v1/keys').send({
      ...keyBody(),
      grants: foreign,
    });
    expect(problemIn(issued)).toEqual(refused);
    const { key } = await world.issue();
    const changed = await call('adminOfA', 'patch', `/v1/keys/${key.id}`)
      .set('if-match', '*')
      .send({ grants: foreign });
    expect(problemIn(changed)).toEqual(refused);
  });

  test('sees its own service only', async () => {
    const { body } = await call('adminOfX', 'get', '/v1/services');
    expect((body as { data: { slug: string }[] }).data.map((one) => one.slug)).toEqual([
      'service-x',
    ]);
  });

  test('switches a consumer off only where all its keys are of that service', async () => {
    await call('adminOfX', 'post', '/v1/consumers').send({ slug: 'shared' });
    const off = () => call('adminOfX', 'patch', '/v1/consumers/shared').send({ enabled: false });
    const grants = [{ service: 'service-x', scopes: ['things:read'] }];
    await world.issue({ consumer: 'shared', grants });
    expect((await off()).status).toBe(200);
    await call('admin', 'patch', '/v1/consumers/shared').send({ enabled: true });
    await world.issue({ consumer: 'shared' });
    expect(problemIn(await off())).toEqual({ status: 403, code: 'FORBIDDEN' });
  });
});

describe('a service that acts for a person', () => {
  const issueFor = async (actor: string | undefined, who = 'provisioner') => {
    const request = call(who, 'post', '/v1/keys').send(keyBody());
    return actor === undefined ? request : request.set('x-actor-token', actor);
  };

  test('has the person’s rights, and both are in the change log', async () => {
    const answer = await issueFor(tokens['admin']);
    expect(answer.status).toBe(201);
    const { key } = answer.body as { key: Key };
    expect(key.createdBy).toBe('usr_admin');
    const [row] = await management.postgres.owner.query<[object]>(
      'SELECT actor, via FROM keys.change_log WHERE target_id = $1',
      [key.id],
    );
    expect(row).toEqual({ actor: 'usr_admin', via: 'service-a' });
  });

  test('is refused without a person, and says what to send', async () => {
    const answer = await issueFor(undefined);
    expect(problemIn(answer)).toEqual({ status: 403, code: 'FORBIDDEN' });
    expect((answer.body as { detail: string }).detail).toContain('X-Actor-Token');
  });

  test.each([
    ['a user', { roles: ['user'] }],
    ['an auditor', { roles: ['auditor'] }],
    ['an admin of other services', { services: ['service-x'] }],
    ['an admin of none', { services: [] }],
  ])('gets no more than the person may: %s', async (_, claims) => {
    const before = await stateOf();
    const actor = await management.issuer.person('usr_limited', claims);
    expect(problemIn(await issueFor(actor))).toEqual({ status: 403, code: 'FORBIDDEN' });
    expect(await stateOf()).toEqual(before);
  });

  test('reads for an auditor', async () => {
    const answer = await call('provisioner', 'get', '/v1/keys').set(
      'x-actor-token',
      tokens['auditor']!,
    );
    expect(answer.status).toBe(200);
  });

  test('reaches its own keys only, though the person may more', async () => {
    const { key } = await world.issue();
    const answer = await call('otherProvisioner', 'post', `/v1/keys/${key.id}/revoke`)
      .set('x-actor-token', tokens['admin']!)
      .send({ reason: 'retired' });
    expect(problemIn(answer)).toEqual({ status: 401, code: 'INVALID_TOKEN' });
    const forBoth = await management.issuer.person('usr_admin', {
      aud: ['key-service', 'service-x'],
    });
    const known = await call('otherProvisioner', 'post', `/v1/keys/${key.id}/revoke`)
      .set('x-actor-token', forBoth)
      .send({ reason: 'retired' });
    expect(problemIn(known)).toEqual({ status: 404, code: 'NOT_FOUND' });
    const service = await call('otherProvisioner', 'post', '/v1/services')
      .set('x-actor-token', forBoth)
      .send({ slug: fresh(), scopes: [] });
    expect(service.status).toBe(403);
  });

  test.each([
    ['junk', () => 'junk'],
    ['an API key', async () => (await world.issue()).secret],
    ['an expired token', () => management.issuer.person('usr_admin', { exp: 1_000_000_000 })],
    [
      'a token for other services',
      () => management.issuer.person('usr_admin', { aud: ['service-b'] }),
    ],
    [
      'a token not given to this service',
      () => management.issuer.person('usr_admin', { aud: ['key-service'] }),
    ],
    ['a service’s token', () => management.issuer.service('service-a')],
  ])('is refused with %s as X-Actor-Token', async (_, token) => {
    const before = await world.count('change_log', `actor = 'usr_admin' AND via IS NOT NULL`);
    const answer = await issueFor(await token());
    expect(problemIn(answer)).toEqual({ status: 401, code: 'INVALID_TOKEN' });
    const after = await world.count('change_log', `actor = 'usr_admin' AND via IS NOT NULL`);
    expect(after).toBe(before);
  });

  test('a person sends no X-Actor-Token', async () => {
    const answer = await issueFor(tokens['admin'], 'user');
    expect(problemIn(answer)).toEqual({ status: 403, code: 'FORBIDDEN' });
    expect(problemIn(await issueFor(tokens['admin'], 'admin'))).toEqual({
      status: 400,
      code: 'INVALID_HEADER',
    });
  });
});

test('an API key opens no management route', async () => {
  const { key, secret } = await world.issue();
  for (const [name, method, path, body] of ROUTES) {
    const plain = await management
      .call(method, path(key.id), null)
      .set('x-api-key', secret)
      .send(body?.());
    const bearer = await management.call(method, path(key.id), secret).send(body?.());
    expect([name, problemIn(plain).code]).toEqual([name, 'UNAUTHENTICATED']);
    expect([name, problemIn(bearer).code]).toEqual([name, 'INVALID_TOKEN']);
  }
});
