import type { IssuedClient, IssuedKey, User } from '#contracts';
import { INSTANT, refusal } from './support/expected.js';
import { startScene, type Ask, type Scene } from './support/scene.js';

const PASSWORD = 'a long enough pass phrase';

let scene: Scene;
let admin: string;
/** service-a's own token. */
let service: string;
let keyOfA: IssuedKey;
/** A key for the service service-x, which service-a has no business with. */
let keyOfX: IssuedKey;
beforeAll(async () => {
  scene = await startScene();
  admin = await scene.token();
  service = await scene.serviceToken('service-a');
  const body = { slug: 'service-x', scopes: ['things:read'] };
  await scene.tell('keyService', '/v1/services', { token: admin, body });
  keyOfA = await issue('service-a', ['reports:read']);
  keyOfX = await issue('service-x', ['things:read']);
});
afterAll(() => scene?.platform.remove());

async function issue(to: string, scopes: string[], more: object = {}): Promise<IssuedKey> {
  const grants = [{ service: to, scopes }];
  const body = { name: `for ${to}`, consumer: 'service-b', grants, ...more };
  const answer = await scene.tell('keyService', '/v1/keys', { token: admin, body });
  return answer.body as IssuedKey;
}

/** Token of a new person. */
async function person(username: string, more: object): Promise<string> {
  const body = { username, password: PASSWORD, ...more };
  const answer = await scene.tell('login', '/v1/users', { token: admin, body });
  return scene.token({ username: (answer.body as User).username, password: PASSWORD });
}

const verify = (body: object, options: Ask = { token: service }) =>
  scene.tell('keyService', '/v1/keys/verify', { ...options, body });
const lastChange = async () =>
  (await scene.sql<{ seq: string }>('SELECT max(seq) AS seq FROM keys.change_log'))[0]?.seq;
const keyCount = async () =>
  (await scene.sql<{ n: string }>('SELECT count(*) AS n FROM keys.key'))[0]?.n;

describe('a key that is no good', () => {
  it('is one and the same answer, whether malformed, unknown, of another service, or right but for its secret', async () => {
    const revoked = await issue('service-a', ['reports:read']);
    await scene.tell('keyService', `/v1/keys/${revoked.key.id}/revoke`, {
      token: admin,
      body: { reason: 'retired' },
    });
    const unknown = await issue('service-a', ['reports:read']);
    await scene.sql('DELETE FROM keys.secret WHERE key_id = $1', [unknown.key.id]);
    await scene.sql('DELETE FROM keys.key_grant WHERE key_id = $1', [unknown.key.id]);
    await scene.sql('DELETE FROM keys.key WHERE id = $1', [unknown.key.id]);
    const rotated = await issue('service-a', ['reports:read']);
    const old = rotated.secret;
    await scene.sql(`UPDATE keys.secret SET digest = sha256('another') WHERE key_id = ANY ($1)`, [
      [revoked.key.id, rotated.key.id],
    ]);
    const answerTo = async (key: string) => {
      const headers = { 'x-request-id': 'same' };
      const answer = await scene.ask('serviceA', '/v1/reports', { key, headers });
      const { date: _, ...rest } = Object.fromEntries(answer.headers);
      return { status: answer.status, headers: rest, body: answer.body };
    };
    const expected = await answerTo('junk');
    expect({ status: expected.status, body: expected.body }).toEqual({
      ...refusal('API_KEY_INVALID', '/v1/reports'),
      body: { ...refusal('API_KEY_INVALID', '/v1/reports').body, requestId: 'same' },
    });
    for (const key of [
      keyOfX.secret,
      unknown.secret,
      old,
      revoked.secret,
      `${keyOfA.secret}x`,
      keyOfA.secret.slice(0, -1),
      keyOfA.secret.repeat(2),
      keyOfA.secret.toUpperCase(),
      'k'.repeat(8_000),
    ]) {
      expect(await answerTo(key)).toEqual(expected);
    }
  });

  it('says why to its own holder only', async () => {
    const [disabled, expired, revoked, early] = [
      await issue('service-a', ['reports:read']),
      await issue('service-a', ['reports:read'], { expiresInSeconds: 1 }),
      await issue('service-a', ['reports:read']),
      await issue('service-a', ['reports:read'], {
        notBefore: '2190-01-01T00:00:00Z',
        expiresAt: null,
      }),
    ];
    const change = (id: string, what: string, body?: object) =>
      scene.tell('keyService', `/v1/keys/${id}/${what}`, {
        token: admin,
        method: 'POST',
        ...(body && { body }),
      });
    await change(disabled.key.id, 'disable');
    await change(revoked.key.id, 'revoke', { reason: 'retired' });
    const use = (key: string) => scene.tell('serviceA', '/v1/reports', { key });
    await expect(use(disabled.secret)).resolves.toEqual(refusal('API_KEY_DISABLED', '/v1/reports'));
    await expect(use(revoked.secret)).resolves.toEqual(refusal('API_KEY_REVOKED', '/v1/reports'));
    await expect(use(early.secret)).resolves.toEqual(
      refusal('API_KEY_NOT_YET_VALID', '/v1/reports'),
    );
    const leftMs = Date.parse(expired.key.expiresAt ?? '') - Date.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, leftMs)));
    await expect(use(expired.secret)).resolves.toEqual(refusal('API_KEY_EXPIRED', '/v1/reports'));
  });
});

describe('verifying is no oracle', () => {
  const at = '/v1/keys/verify';

  it('for whoever has no token of a service that may verify', async () => {
    const key = keyOfA.secret;
    const noScopes = await clientToken('service-y', []);
    const provisioner = await clientToken('service-z', ['keys:provision']);
    const forA = await scene.serviceToken('service-b', { audience: 'service-a' });
    const outcomes: [string, Ask, ReturnType<typeof refusal>][] = [
      ['nothing', {}, refusal('UNAUTHENTICATED', at)],
      ['the key itself', { key }, refusal('UNAUTHENTICATED', at)],
      ['the key as a token', { token: key }, refusal('INVALID_TOKEN', at)],
      ["service-b's token", { token: forA }, refusal('INVALID_TOKEN', at)],
      ['an admin', { token: admin }, refusal('FORBIDDEN', at)],
      ['a service without scopes', { token: noScopes }, refusal('FORBIDDEN', at)],
      ['one that may provision', { token: provisioner }, refusal('FORBIDDEN', at)],
    ];
    for (const [who, options, expected] of outcomes) {
      expect({ who, ...(await verify({ key }, options)) }).toEqual({ who, ...expected });
    }
  });

  it('about the keys of another service', async () => {
    await expect(verify({ key: keyOfX.secret })).resolves.toEqual({
      status: 200,
      body: {
        valid: false,
        code: 'NOT_FOUND',
        decision: {
          source: expect.any(String),
          asOf: INSTANT,
          ttlSeconds: expect.any(Number),
          version: 0,
        },
      },
    });
    await expect(verify({ key: keyOfX.secret, service: 'service-x' })).resolves.toEqual(
      refusal('FORBIDDEN', at),
    );
    await expect(verify({ key: keyOfA.secret })).resolves.toEqual({
      status: 200,
      body: {
        valid: true,
        code: 'VALID',
        keyId: keyOfA.key.id,
        secretNumber: 1,
        consumer: 'service-b',
        environment: 'live',
        scopes: ['reports:read'],
        expiresAt: keyOfA.key.expiresAt,
        metadata: {},
        decision: {
          source: expect.any(String),
          asOf: INSTANT,
          ttlSeconds: expect.any(Number),
          version: 1,
        },
      },
    });
  });

  async function clientToken(clientId: string, scopes: string[]): Promise<string> {
    const answer = await scene.tell('login', '/v1/clients', {
      token: admin,
      body: { clientId, scopes, audiences: ['key-service'] },
    });
    const { clientSecret } = answer.body as IssuedClient;
    return scene.serviceToken(clientId, { clientSecret });
  }
});

describe('an API key opens no management route', () => {
  const grants = [{ service: 'service-a', scopes: ['reports:write'] }];
  const routes = (): [string, string, string, object?][] => [
    ['keyService', 'POST', '/v1/keys', { name: 'mine', consumer: 'service-b', grants }],
    ['keyService', 'GET', '/v1/keys'],
    ['keyService', 'GET', `/v1/keys/${keyOfA.key.id}`],
    ['keyService', 'PATCH', `/v1/keys/${keyOfA.key.id}`, { grants }],
    ['keyService', 'POST', `/v1/keys/${keyOfA.key.id}/rotate`, {}],
    ['keyService', 'POST', `/v1/keys/${keyOfA.key.id}/revoke`, { reason: 'retired' }],
    ['keyService', 'POST', `/v1/keys/${keyOfA.key.id}/disable`],
    ['keyService', 'POST', `/v1/keys/${keyOfA.key.id}/enable`],
    ['keyService', 'POST', '/v1/services', { slug: 'mine', scopes: [] }],
    ['keyService', 'GET', '/v1/services'],
    ['keyService', 'PATCH', '/v1/services/service-a', { scopes: [] }],
    ['keyService', 'POST', '/v1/consumers', { slug: 'mine' }],
    ['keyService', 'GET', '/v1/consumers'],
    ['keyService', 'PATCH', '/v1/consumers/service-b', { enabled: false }],
    ['serviceA', 'POST', '/v1/api-keys', { name: 'x', consumer: 'service-b', scopes: ['a'] }],
    ['serviceA', 'GET', '/v1/api-keys'],
    ['serviceA', 'POST', `/v1/api-keys/${keyOfA.key.id}/rotate`, {}],
    ['serviceA', 'POST', `/v1/api-keys/${keyOfA.key.id}/revoke`, { reason: 'retired' }],
    ['serviceB', 'GET', '/v1/summary'],
    ['serviceB', 'GET', '/v1/key-status'],
    ['login', 'GET', '/v1/me'],
    ['login', 'GET', '/v1/users'],
    ['login', 'POST', '/v1/users', { username: 'mallory', password: PASSWORD }],
    ['login', 'GET', '/v1/clients'],
  ];

  it('neither in its own header nor as a bearer token', async () => {
    const before = [await lastChange(), await keyCount()];
    const { secret } = keyOfA;
    for (const [service, method, path, body] of routes()) {
      const common = { method, ...(body && { body }) };
      const asKey = await scene.tell(service as 'login', path, { ...common, key: secret });
      expect({ method, ...asKey }).toEqual({ method, ...refusal('UNAUTHENTICATED', path) });
      const asToken = await scene.tell(service as 'login', path, { ...common, token: secret });
      expect({ method, ...asToken }).toEqual({ method, ...refusal('INVALID_TOKEN', path) });
    }
    expect([await lastChange(), await keyCount()]).toEqual(before);
  });

  it('and the other way round, a JWT opens no route for keys, nor adds to the rights of one', async () => {
    const options = { token: admin, key: keyOfA.secret };
    expect(await scene.tell('serviceA', '/v1/reports', options)).toEqual(
      refusal('INVALID_HEADER', '/v1/reports', 'Send x-api-key or Authorization, not both'),
    );
  });
});

describe("a service that acts for a person has that person's rights, cut to its own keys", () => {
  const body = () => ({
    name: 'delegated',
    consumer: 'service-b',
    grants: [{ service: 'service-a', scopes: ['reports:read'] }],
  });
  const create = (options: Ask & { actor?: string }) => {
    const { actor, ...rest } = options;
    const headers = { ...(actor !== undefined && { 'x-actor-token': actor }) };
    return scene.tell('keyService', '/v1/keys', { body: body(), headers, ...rest });
  };

  it('nobody who may not do it directly may do it through service-a', async () => {
    const before = [await lastChange(), await keyCount()];
    const user = await person('plain-user', { roles: ['user'] });
    const auditor = await person('auditor', { roles: ['auditor'] });
    const elsewhere = await person('admin-of-x', { roles: ['admin'], services: ['service-x'] });
    const own = { name: 'x', consumer: 'service-b', scopes: ['reports:read'] };
    for (const token of [user, auditor, elsewhere]) {
      for (const [path, sent] of [
        ['/v1/api-keys', own],
        [`/v1/api-keys/${keyOfA.key.id}/rotate`, {}],
        [`/v1/api-keys/${keyOfA.key.id}/revoke`, { reason: 'retired' }],
      ] as const) {
        await expect(scene.tell('serviceA', path, { token, body: sent })).resolves.toEqual(
          refusal('FORBIDDEN', path),
        );
      }
      expect((await create({ token: service, actor: token })).status).toBe(403);
    }
    expect([await lastChange(), await keyCount()]).toEqual(before);
  });

  it('and a service has no rights of its own', async () => {
    const before = [await lastChange(), await keyCount()];
    const noAudience = await scene.serviceToken('service-b', { audience: 'service-a' });
    const forbidden = refusal('FORBIDDEN', '/v1/keys');
    const badToken = refusal('INVALID_TOKEN', '/v1/keys');
    await expect(create({ token: service })).resolves.toEqual(forbidden);
    await expect(create({ token: service, actor: service })).resolves.toEqual(badToken);
    await expect(create({ token: service, actor: noAudience })).resolves.toEqual(badToken);
    await expect(create({ token: service, actor: keyOfA.secret })).resolves.toEqual(badToken);
    await expect(create({ token: service, actor: '' })).resolves.toEqual(badToken);
    await expect(create({ token: admin, actor: admin })).resolves.toEqual(
      refusal('INVALID_HEADER', '/v1/keys'),
    );
    expect([await lastChange(), await keyCount()]).toEqual(before);
  });

  it('an admin of all services, acting through service-a, reaches the keys of service-a only', async () => {
    const through = { token: service, headers: { 'x-actor-token': admin } };
    const path = `/v1/keys/${keyOfX.key.id}`;
    for (const [method, at, sent] of [
      ['GET', path, undefined],
      ['POST', `${path}/rotate`, {}],
      ['POST', `${path}/revoke`, { reason: 'retired' }],
      ['POST', `${path}/disable`, undefined],
    ] as const) {
      const answer = await scene.tell('keyService', at, {
        ...through,
        method,
        ...(sent && { body: sent }),
      });
      expect(answer).toEqual(refusal('NOT_FOUND', at));
    }
    const at = `/v1/api-keys/${keyOfX.key.id}/revoke`;
    await expect(
      scene.tell('serviceA', at, { token: admin, body: { reason: 'retired' } }),
    ).resolves.toEqual(refusal('NOT_FOUND', at));
    const listed = await scene.tell('serviceA', '/v1/api-keys', { token: admin });
    expect(JSON.stringify(listed.body)).not.toContain(keyOfX.key.id);
    // Another service is not told from one that is not there.
    for (const slug of ['service-x', 'no-such-service']) {
      const grants = [{ service: slug, scopes: ['things:read'] }];
      const detail = `There is no service ${slug}`;
      const refused = refusal('INVALID_REQUEST', '/v1/keys', `/grants/0/service: ${detail}`);
      const errors = [{ pointer: '/grants/0/service', code: 'INVALID_VALUE', detail }];
      const beyond = await create({ ...through, body: { ...body(), grants } });
      expect(beyond).toEqual({ ...refused, body: { ...refused.body, errors } });
    }
    const read = await scene.tell('keyService', path, { token: admin });
    expect(read).toEqual({ status: 200, body: keyOfX.key });
  });

  it('and service accounts may not manage anything at login', async () => {
    await expect(scene.serviceToken('service-a', { audience: 'login' })).rejects.toThrow(
      /invalid_target/,
    );
    const body = { username: 'mallory', password: PASSWORD, roles: ['admin'] };
    const answer = await scene.tell('login', '/v1/users', { token: service, body });
    expect(answer).toEqual(refusal('INVALID_TOKEN', '/v1/users'));
  });
});
