import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client } from 'pg';
import type { TokenPair } from '#contracts';
import { parseConfig } from '#server';
import { startProxy } from '../../../test/support/proxy.js';
import { startRedis } from '../../../test/support/redis.js';
import { loginEnv } from './config.js';
import { ADMIN, createLoginLab, type LoginLab, type LoginServer } from './testing/login-server.js';

type Env = Record<string, string>;

let lab: LoginLab;

beforeAll(async () => {
  lab = await createLoginLab();
});
afterAll(() => lab.close());

const guess = (login: LoginServer, username: string) =>
  login.call('POST', '/v1/login', { body: { username, password: 'wrong' } });

async function statusesOf(login: LoginServer, usernames: string[]): Promise<number[]> {
  const statuses: number[] = [];
  for (const username of usernames) statuses.push((await guess(login, username)).status);
  return statuses;
}

/** Asks until the answer is so, for as long as a test may take. */
async function until<T>(ask: () => Promise<T>, isSo: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isSo(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test.each([
  [
    'a database that does not let it in',
    'LOGIN_DATABASE_URL',
    (url: string) => url.replace(/:\w+@/, ':s3cret@'),
    /the PostgreSQL that LOGIN_DATABASE_URL names, at .* \(password authentication failed/,
  ],
  [
    'a connection string that is none',
    'LOGIN_DATABASE_URL',
    () => 'postgresql://u:s3cret@one:two/db',
    /LOGIN_DATABASE_URL: must be postgresql:/,
  ],
  [
    'an address of Redis that is none',
    'REDIS_URL',
    () => 'redis-sentinel://:s3cret@one',
    /REDIS_URL: must be redis:/,
  ],
])(
  '%s ends its start with one clear line, without a stack or a secret',
  async (_, name, spoil, line) => {
    const failed: unknown = await lab
      .start({ [name]: spoil(lab.url) })
      .catch((error: unknown) => error);
    const text = (failed as Error).message;
    expect(text).toMatch(line);
    expect(text).not.toMatch(/^ {4}at |s3cret/m);
  },
);

describe('throttling', () => {
  test('guesses are counted for an address and an account, and the answer says how long to wait', async () => {
    const login = await lab.start({ LOGIN_RATE_PER_MINUTE: '3' });
    expect(await statusesOf(login, ['a', 'a', 'A', 'a'])).toEqual([401, 401, 401, 429]);
    const refused = await guess(login, 'a');
    expect(refused.body).toMatchObject({ status: 429, code: 'TOO_MANY_REQUESTS' });
    const seconds = Number(refused.headers.get('retry-after'));
    expect(refused.headers.get('ratelimit-policy')).toBe('"login-by-account";q=3;w=60');
    expect(refused.headers.get('ratelimit')).toBe(`"login-by-account";r=0;t=${seconds}`);
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(60);
    const others = Array.from({ length: 12 }, (_, number) => `other-${number}`);
    const statuses = await statusesOf(login, others);
    expect(statuses).toEqual([...Array<number>(10).fill(401), 429, 429]);
    const forged = await login.call('POST', '/v1/login', {
      body: { username: 'a', password: 'wrong' },
      headers: { 'x-forwarded-for': '192.0.2.9', forwarded: 'for=192.0.2.9' },
    });
    expect(forged.status).toBe(429);
    expect((await login.call('GET', '/health/ready')).status).toBe(200);
  });

  test('clients behind a trusted proxy are counted each for itself, an IPv6 network as one', async () => {
    const env = { LOGIN_RATE_PER_MINUTE: '3', TRUST_PROXY: '127.0.0.1' };
    const login = await lab.start(env);
    const from = async (...addresses: string[]): Promise<number[]> => {
      const statuses = [];
      for (const address of addresses) {
        const body = { username: 'a', password: 'wrong' };
        const headers = { 'x-forwarded-for': address };
        statuses.push((await login.call('POST', '/v1/login', { body, headers })).status);
      }
      return statuses;
    };
    const one = '192.0.2.1';
    expect(await from(one, one, one, one)).toEqual([401, 401, 401, 429]);
    // What a client claims stands left of what the proxy has seen.
    expect(await from(`198.51.100.7, ${one}`, `::1, 10.0.0.1, ${one}`)).toEqual([429, 429]);
    expect(await from('192.0.2.2')).toEqual([401]);
    const network = ['2001:db8::1', '2001:DB8::2', '2001:db8:0:0:ffff::3', '2001:db8::4'];
    expect(await from(...network, '2001:db8:0:1::1')).toEqual([401, 401, 401, 429, 401]);
  });

  test('what a peer that is not trusted says of its address changes nothing', async () => {
    const login = await lab.start({ LOGIN_RATE_PER_MINUTE: '3', TRUST_PROXY: '10.0.0.0/8' });
    const statuses: number[] = [];
    for (const name of ['x-forwarded-for', 'forwarded', 'x-real-ip', 'cf-connecting-ip']) {
      const body = { username: 'a', password: 'wrong' };
      const headers = { [name]: `${name === 'forwarded' ? 'for=' : ''}192.0.2.${statuses.length}` };
      statuses.push((await login.call('POST', '/v1/login', { body, headers })).status);
    }
    expect(statuses).toEqual([401, 401, 401, 429]);
  });

  test('replicas count together in Redis, and each for itself while it is away', async () => {
    const redis = await startRedis();
    const proxy = await startProxy(redis.url);
    const env = { LOGIN_RATE_PER_MINUTE: '4', REDIS_URL: proxy.through(redis.url) };
    const [one, two] = [await lab.start(env), await lab.start(env)];
    expect(await statusesOf(one, ['b', 'b'])).toEqual([401, 401]);
    expect(await statusesOf(two, ['b', 'b', 'b'])).toEqual([401, 401, 429]);
    expect(await statusesOf(one, ['b'])).toEqual([429]);
    proxy.blackhole(true);
    expect(await statusesOf(one, ['b', 'b', 'b', 'b', 'b'])).toEqual([401, 401, 401, 401, 429]);
    proxy.blackhole(false);
    await redis.stop();
    expect(await statusesOf(one, ['b'])).toEqual([429]);
    expect(await statusesOf(two, ['b'])).toEqual([401]);
    await redis.start();
    let number = 0;
    const areShared = async () => {
      const name = `c-${(number += 1)}`;
      await statusesOf(one, [name, name, name, name]);
      return (await statusesOf(two, [name])).includes(429);
    };
    await until(areShared, (answer) => answer);
    await proxy.close();
    await redis.remove();
  });
});

describe('the database', () => {
  test('while it is away the answer is 503 and keys are still published; it recovers by itself', async () => {
    const login = await lab.start();
    const { body } = await login.call('POST', '/v1/login', { body: ADMIN });
    const { accessToken, refreshToken } = body as TokenPair;
    await lab.postgres.stop();
    const calls = [
      () => login.call('POST', '/v1/login', { body: ADMIN }),
      () => login.call('POST', '/v1/token/refresh', { body: { refreshToken } }),
      () => login.call('GET', '/v1/me', { token: accessToken }),
      () => login.call('GET', '/health/ready'),
    ];
    for (const one of calls) {
      const answer = await one();
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
      expect(answer.body).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    }
    const token = await login.call('POST', '/oauth2/token', {
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: 'service-a',
        client_secret: 'x',
      }),
    });
    expect([token.status, token.body]).toEqual([
      503,
      { error: 'temporarily_unavailable', error_description: expect.any(String) },
    ]);
    expect((await login.call('GET', '/.well-known/jwks.json')).status).toBe(200);
    expect((await login.call('GET', '/health/live')).status).toBe(200);
    await lab.postgres.start();
    await until(
      () => login.call('GET', '/health/ready'),
      ({ status }) => status === 200,
    );
    expect((await login.call('POST', '/v1/login', { body: ADMIN })).status).toBe(200);
    expect((await login.call('GET', '/v1/me', { token: accessToken })).status).toBe(200);
  });

  test('keys are published while as many reads as there may be wait for it', async () => {
    const login = await lab.start();
    const { body } = await login.call('POST', '/v1/login', { body: ADMIN });
    const token = (body as TokenPair).accessToken;
    const owner = new Client(lab.postgres.url);
    await owner.connect();
    await owner.query('BEGIN; LOCK TABLE login.client IN ACCESS EXCLUSIVE MODE');
    const reads = Array.from({ length: 30 }, () => login.call('GET', '/v1/clients', { token }));
    const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'`;
    await until(
      () => lab.postgres.query(waiting),
      ({ length }) => length === 6,
    );
    for (const path of ['jwks.json', 'oauth-authorization-server'])
      expect((await login.call('GET', `/.well-known/${path}`)).status).toBe(200);
    await owner.end();
    await Promise.all(reads);
    expect((await login.call('GET', '/v1/clients', { token })).status).toBe(200);
  });

  test('a login that starts before its database waits for it', async () => {
    await lab.postgres.stop();
    const starting = lab.start();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await lab.postgres.start();
    const login = await starting;
    expect((await login.call('GET', '/health/ready')).status).toBe(200);
  });

  test('a database without the schema stops the start with what to do', async () => {
    const url = new URL(lab.postgres.url);
    url.pathname = '/postgres';
    await expect(lab.start({ LOGIN_DATABASE_URL: url.href })).rejects.toThrow('run the migrations');
  });
});

describe('overload', () => {
  test('a flood of logins is turned away quickly beyond what can wait, and the rest is answered', async () => {
    const login = await lab.start();
    const answers = await Promise.all(
      Array.from({ length: 150 }, (_, number) => guess(login, `flood-${number}`)),
    );
    const statuses = answers.map((one) => one.status);
    expect(new Set(statuses)).toEqual(new Set([401, 503]));
    const refused = answers.filter((one) => one.status === 503);
    expect(new Set(refused.map((one) => one.headers.get('retry-after')))).toEqual(new Set(['1']));
    expect((await guess(login, 'afterwards')).status).toBe(401);
  });
});

describe('settings', () => {
  test.each([
    ['LOGIN_SECRET', { LOGIN_SECRET: '' }],
    ['LOGIN_SECRET', { LOGIN_SECRET: 'c2hvcnQ=' }],
    ['REDIS_URL', { NODE_ENV: 'production' }],
    ['LOGIN_DATABASE_URL', { LOGIN_DATABASE_URL: '' }],
    ['TOKEN_ISSUER', { TOKEN_ISSUER: 'login' }],
    ['JWT_ALGORITHM', { JWT_ALGORITHM: 'none' }],
    ['JWT_SECRET', { JWT_ALGORITHM: 'HS256' }],
    ['JWT_SECRET', { JWT_ALGORITHM: 'HS256', JWT_SECRET: 'c2hvcnQ=' }],
  ])('a bad %s is named', (name, env: Env) => {
    expect(() => parseConfig(loginEnv, { ...lab.variables, ...env })).toThrow(name);
  });

  test('a bad one stops the start and is named', async () => {
    await expect(lab.start({ LOGIN_SECRET: '' })).rejects.toThrow('LOGIN_SECRET');
  });
});

describe('bootstrap', () => {
  const script = fileURLToPath(new URL('./bootstrap.js', import.meta.url));
  const run = async (env: Record<string, string>) => {
    const options = { env: { PATH: process.env['PATH'], ...lab.variables, ...env } };
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [script], options);
      return { code: 0, text: stdout };
    } catch (error) {
      const { code, stderr } = error as { code: number; stderr: string };
      return { code, text: stderr };
    }
  };

  test('it creates what is missing, changes nothing that is there and tells no secret', async () => {
    const secret = `kws_${'t'.repeat(43)}`;
    const env = {
      ADMIN_USERNAME: 'Second',
      ADMIN_PASSWORD: 'second to none, I say',
      BOOTSTRAP_CLIENTS: JSON.stringify([
        { clientId: 'service-a', secret, scopes: [] },
        { clientId: 'service-b', secret },
      ]),
    };
    const warnings = ['Leave the user name out of the password'];
    expect(await run(env)).toEqual({
      code: 0,
      text: `${JSON.stringify({ created: { admin: 'second', clients: ['service-b'] }, warnings })}\n`,
    });
    expect(await run({ ...env, ADMIN_PASSWORD: 'quite another sentence' })).toEqual({
      code: 0,
      text: `${JSON.stringify({ created: { admin: null, clients: [] }, warnings: [] })}\n`,
    });
    const login = await lab.start();
    const body = { username: 'second', password: env.ADMIN_PASSWORD };
    expect((await login.call('POST', '/v1/login', { body })).status).toBe(200);
  });

  test.each([
    ['ADMIN_PASSWORD', {}],
    ['ADMIN_PASSWORD', { ADMIN_PASSWORD: '' }],
    ['ADMIN_PASSWORD', { ADMIN_PASSWORD: 'admin' }],
    ['ADMIN_PASSWORD', { ADMIN_PASSWORD: 'admin1234567890' }],
    ['BOOTSTRAP_CLIENTS', { ADMIN_PASSWORD: ADMIN.password, BOOTSTRAP_CLIENTS: '{' }],
    [
      'BOOTSTRAP_CLIENTS',
      {
        ADMIN_PASSWORD: ADMIN.password,
        BOOTSTRAP_CLIENTS: '[{"clientId":"x","secret":"short-secret"}]',
      },
    ],
  ])('without a good %s it ends with 1 and names it, not its value', async (name, env: Env) => {
    const { code, text } = await run(env);
    expect(code).toBe(1);
    expect(text).toContain(name);
    expect(text).not.toMatch(/1234567890|short-secret|\n\s+at /);
  });
});
