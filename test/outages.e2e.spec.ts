import type { IssuedKey, Key, TokenPair } from '#contracts';
import { call } from '../tools/quickstart/http.js';
import { RECOVERY_MS } from './support/patience.js';
import { startPostgres, type TestPostgres } from './support/postgres.js';
import { startRedis, type TestRedis } from './support/redis.js';
import { startScene, type Ask, type Scene, type ServiceName } from './support/scene.js';

let postgres: TestPostgres;
let redis: TestRedis;
let scene: Scene;
let admin: string;
let service: string;
let refreshToken: string;
/** Every answer of these tests, so that all of them can be judged. */
const answers: { what: string; status: number; code: unknown; retryAfter: string | null }[] = [];

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  scene = await startScene({ env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url } });
  admin = await scene.token();
  service = await scene.serviceToken('service-a');
  ({ refreshToken } = await logIn());
});
afterAll(async () => {
  await scene?.platform.remove();
  await Promise.all([postgres?.remove(), redis?.remove()]);
});

const logIn = async (): Promise<TokenPair> => {
  const { body } = await scene.tell('login', '/v1/login', {
    body: scene.platform.quickstart.admin,
  });
  return body as TokenPair;
};

async function issue(name: string): Promise<IssuedKey> {
  const grants = [{ service: 'service-a', scopes: ['reports:read'] }];
  const body = { name, consumer: 'service-b', grants };
  const answer = await scene.tell('keyService', '/v1/keys', { token: admin, body });
  expect(answer.status).toBe(201);
  return answer.body as IssuedKey;
}

/** Status and code of an answer, noted for the judgement over all of them. */
async function note(on: ServiceName, path: string, options: Ask = {}) {
  const { status, headers, body } = await scene.ask(on, path, options);
  const { code } = (body ?? {}) as { code?: unknown };
  const method = options.method ?? (options.body === undefined ? 'GET' : 'POST');
  const retryAfter = headers.get('retry-after');
  answers.push({ what: `${on} ${method} ${path}`, status, code, retryAfter });
  return { status, code };
}

const useAtA = (key: string) => note('serviceA', '/v1/reports', { key });
const verify = async (key: string, noCache = false) => {
  const { status, body } = await scene.tell('keyService', '/v1/keys/verify', {
    token: service,
    ...(noCache && { headers: { 'cache-control': 'no-cache' } }),
    body: { key },
  });
  const { code, decision } = body as { code: string; decision?: { source: string } };
  return { status, code, source: decision?.source };
};

/** Waits until it is so; tells how it last was when it does not come about in time. */
async function becomes(look: () => Promise<unknown>, wanted: unknown): Promise<void> {
  let last: unknown;
  for (const until = Date.now() + RECOVERY_MS; Date.now() < until;) {
    last = await look().catch((error: unknown) => error);
    if (JSON.stringify(last) === JSON.stringify(wanted)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(last).toEqual(wanted);
}

const ready = async (on: ServiceName) =>
  (await call(`${scene.platform.quickstart[on]}/health/ready`)).status;

const OK = { status: 200, code: undefined };
const UNAVAILABLE = { status: 503, code: 'SERVICE_UNAVAILABLE' };
const UNDECIDED = { status: 503, code: 'VERIFICATION_UNAVAILABLE' };

describe('while PostgreSQL is away', () => {
  let warm: IssuedKey;
  let cold: IssuedKey;
  beforeAll(async () => {
    [warm, cold] = [await issue('warm'), await issue('cold')];
    for (let i = 0; i < 3; i += 1) {
      await useAtA(warm.secret);
      await note('serviceB', '/v1/summary', { token: admin });
    }
    await postgres.stop();
  });

  it('a login, a refresh and what asks for the session are 503, here and through service-a', async () => {
    const body = scene.platform.quickstart.admin;
    const [wrong, refresh] = [{ ...body, password: 'not the password' }, { refreshToken }];
    for (const on of ['login', 'serviceA'] as const) {
      expect(await note(on, '/v1/login', { body })).toEqual(UNAVAILABLE);
      expect(await note(on, '/v1/login', { body: wrong })).toEqual(UNAVAILABLE);
      expect(await note(on, '/v1/token/refresh', { body: refresh })).toEqual(UNAVAILABLE);
    }
    expect(await note('login', '/v1/me', { token: admin })).toEqual(UNAVAILABLE);
    expect(await note('login', '/v1/users', { token: admin })).toEqual(UNAVAILABLE);
  });

  it('management is 503, and nothing is half done', async () => {
    const grants = [{ service: 'service-a', scopes: ['reports:read'] }];
    const calls: [ServiceName, string, Ask][] = [
      ['keyService', '/v1/keys', {}],
      ['keyService', `/v1/keys/${warm.key.id}`, {}],
      ['keyService', '/v1/services', {}],
      ['keyService', '/v1/keys', { body: { name: 'x', consumer: 'service-b', grants } }],
      ['keyService', `/v1/keys/${warm.key.id}/revoke`, { body: { reason: 'retired' } }],
      ['keyService', `/v1/keys/${warm.key.id}/rotate`, { body: {} }],
      ['keyService', `/v1/keys/${warm.key.id}/disable`, { method: 'POST' }],
      [
        'keyService',
        `/v1/keys/${warm.key.id}`,
        { method: 'PATCH', headers: { 'if-match': '"1"' }, body: { name: 'y' } },
      ],
      ['serviceA', '/v1/api-keys', {}],
      ['serviceA', `/v1/api-keys/${warm.key.id}/revoke`, { body: { reason: 'retired' } }],
    ];
    for (const [on, path, options] of calls) {
      const told = await note(on, path, { token: admin, ...options });
      expect({ path, ...told }).toEqual({ path, ...UNAVAILABLE });
    }
  });

  it('a warm key goes on, an unknown one is 503 and never refused', async () => {
    for (let i = 0; i < 10; i += 1) expect(await useAtA(warm.secret)).toEqual(OK);
    expect(await verify(warm.secret)).toMatchObject({ status: 200, code: 'VALID' });
    expect(await note('serviceB', '/v1/summary', { token: admin })).toEqual(OK);
    expect(await useAtA(cold.secret)).toEqual(UNDECIDED);
    // A key that is malformed needs nobody to be refused.
    expect(await useAtA('kw_live_x')).toMatchObject({ status: 403, code: 'API_KEY_INVALID' });
    answers.pop();
  });

  it('login says that it is not ready, and all of them that they live', async () => {
    expect(await ready('login')).toBe(503);
    for (const on of ['login', 'keyService', 'serviceA', 'serviceB'] as const)
      expect(await note(on, '/health/live')).toEqual(OK);
  });

  it('started again: all of it works within 10 s, without a restart', async () => {
    const { pid } = scene.platform;
    await postgres.start();
    const body = scene.platform.quickstart.admin;
    await Promise.all([
      becomes(() => note('serviceA', '/v1/login', { body }), OK),
      becomes(() => note('keyService', '/v1/keys', { token: admin }), OK),
      becomes(() => useAtA(cold.secret), OK),
      becomes(() => ready('login'), 200),
      becomes(() => ready('keyService'), 200),
    ]);
    expect(await note('login', '/v1/token/refresh', { body: { refreshToken } })).toEqual(OK);
    const { key, secret } = await issue('after the outage');
    expect(await useAtA(secret)).toEqual(OK);
    const revoked = await scene.tell('keyService', `/v1/keys/${key.id}/revoke`, {
      token: admin,
      body: { reason: 'retired' },
    });
    expect(revoked.body).toMatchObject({ propagation: { confirmed: true } });
    expect(await verify(secret)).toMatchObject({ status: 200, code: 'REVOKED' });
    // What was refused with 503 meanwhile has not happened after all.
    expect(await useAtA(warm.secret)).toEqual(OK);
    const { body: after } = await scene.tell('keyService', `/v1/keys/${warm.key.id}`, {
      token: admin,
    });
    // when it was used is told up to 60 s late: now already, or not yet
    expect({ ...(after as Key), lastUsedAt: null }).toEqual(warm.key);
    const { lastUsedAt } = after as Key;
    expect(lastUsedAt === null || Date.parse(lastUsedAt) <= Date.now()).toBe(true);
    expect(scene.platform.pid).toBe(pid);
  });
});

describe('while Redis is away', () => {
  let warm: IssuedKey;
  let limited: IssuedKey;
  beforeAll(async () => {
    warm = await issue('warm');
    const grants = [{ service: 'service-a', scopes: ['reports:read'] }];
    const rateLimits = [{ name: 'few', limit: 2, windowSeconds: 3_600 }];
    const answer = await scene.tell('keyService', '/v1/keys', {
      token: admin,
      body: { name: 'limited', consumer: 'service-b', grants, rateLimits },
    });
    limited = answer.body as IssuedKey;
    await becomes(async () => (await verify(warm.secret)).source, 'cache');
    await redis.stop();
  });

  it('keys go on being verified, from the first request, new ones too', async () => {
    for (let i = 0; i < 20; i += 1) expect(await useAtA(warm.secret)).toEqual(OK);
    const fresh = await issue('made without Redis');
    expect(await useAtA(fresh.secret)).toEqual(OK);
    expect(await verify(fresh.secret)).toEqual({ status: 200, code: 'VALID', source: 'store' });
    expect(await note('serviceB', '/v1/summary', { token: admin })).toEqual(OK);
  });

  it('logins and management go on', async () => {
    const body = scene.platform.quickstart.admin;
    for (const on of ['login', 'serviceA'] as const)
      expect(await note(on, '/v1/login', { body })).toEqual(OK);
    expect(await note('keyService', '/v1/keys', { token: admin })).toEqual(OK);
    expect(await ready('keyService')).toBe(200);
    expect(await ready('login')).toBe(200);
  });

  it('rate limits go on, counted by each process', async () => {
    const codes = [];
    for (let i = 0; i < 4; i += 1) codes.push((await useAtA(limited.secret)).status);
    expect(codes).toEqual([200, 200, 429, 429]);
    answers.splice(-2);
  });

  it('a key that is revoked is refused, before and after Redis is back', async () => {
    const { key, secret } = await issue('revoked without Redis');
    expect(await useAtA(secret)).toEqual(OK);
    const revoked = await scene.tell('keyService', `/v1/keys/${key.id}/revoke`, {
      token: admin,
      body: { reason: 'compromised' },
    });
    expect(revoked).toMatchObject({ status: 200, body: { key: { status: 'revoked' } } });
    expect(await verify(secret)).toMatchObject({ code: 'REVOKED' });
    await redis.start();
    expect(await verify(secret)).toMatchObject({ code: 'REVOKED' });
    await becomes(async () => (await verify(warm.secret)).source, 'cache');
    expect(await verify(secret)).toMatchObject({ code: 'REVOKED' });
  });

  it('started again it is in use again within 10 s, without a restart', async () => {
    expect(await verify(warm.secret)).toEqual({ status: 200, code: 'VALID', source: 'cache' });
    const { key, secret } = await issue('after Redis');
    expect(await useAtA(secret)).toEqual(OK);
    const revoked = await scene.tell('keyService', `/v1/keys/${key.id}/revoke`, {
      token: admin,
      body: { reason: 'retired' },
    });
    expect(revoked.body).toMatchObject({ propagation: { confirmed: true } });
    expect(await verify(secret)).toMatchObject({ code: 'REVOKED' });
  });
});

it('no outage made an answer 500, 401 or 403, and every 503 says when to come again', () => {
  expect(answers.length).toBeGreaterThan(60);
  const odd = answers.filter(({ status, retryAfter }) =>
    status === 503 ? !/^[1-9]\d*$/.test(retryAfter ?? '') : status !== 200,
  );
  expect(odd).toEqual([]);
});
