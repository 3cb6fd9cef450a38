import type { IssuedKey } from '#contracts';
import { RECOVERY_MS } from './support/patience.js';
import { startPostgresPair, type PostgresPair } from './support/postgres-pair.js';
import { startRedis, type TestRedis } from './support/redis.js';
import { startScene, type Scene } from './support/scene.js';

let postgres: PostgresPair;
let redis: TestRedis;
let scene: Scene;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgresPair(), startRedis()]);
  scene = await startScene({ env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url } });
});
afterAll(async () => {
  await scene?.platform.remove();
  await Promise.all([postgres?.remove(), redis?.remove()]);
});

const logIn = async () => {
  const body = scene.platform.quickstart.admin;
  return (await scene.tell('login', '/v1/login', { body })).status;
};

async function issue(token: string): Promise<{ status: number; secret: string }> {
  const grants = [{ service: 'service-a', scopes: ['reports:read'] }];
  const body = { name: 'a key', consumer: 'service-b', grants };
  const answer = await scene.tell('keyService', '/v1/keys', { token, body });
  return { status: answer.status, secret: (answer.body as IssuedKey).secret };
}

/** Asks again while the answer is 503, for as long as a failover may take. */
async function afterFailover<T extends { status: number }>(ask: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + RECOVERY_MS;
  for (;;) {
    const answer = await ask();
    if (answer.status !== 503 || performance.now() > endMs) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test('DATABASE_URL names two servers: the platform starts on the one that takes writes, and goes on with the other', async () => {
  expect(await logIn()).toBe(200);
  const token = await scene.token();
  const { secret } = await issue(token);
  const use = (key: string) => scene.tell('serviceA', '/v1/reports', { key });
  expect(await use(secret)).toMatchObject({ status: 200 });
  const { pid } = scene.platform;
  await postgres.kill('first');
  expect(await use(secret)).toMatchObject({ status: 200 });
  await postgres.promote('second');
  expect(await afterFailover(async () => ({ status: await logIn() }))).toEqual({ status: 200 });
  const fresh = await afterFailover(() => issue(token));
  expect(fresh.status).toBe(201);
  expect(await use(fresh.secret)).toMatchObject({ status: 200 });
  expect(await use(secret)).toMatchObject({ status: 200 });
  expect(scene.platform.pid).toBe(pid);
});
