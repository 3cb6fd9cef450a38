import { randomBytes, randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import type { IssuedKey } from '#contracts';
import { startRedis, type TestRedis } from '../../../../test/support/redis.js';
import { revokeKey } from '../keys/revoke-key.js';
import { Stores } from '../stores.js';
import { ADMIN } from '../testing/principal.js';
import { startIssuer, type TestIssuer } from '../testing/issuer.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { startPostgres, type TestPostgres } from '../testing/postgres.js';
import { seed } from '../testing/seed.js';
import { appendChanges } from './change-log.js';
import { MAX_OWED } from './overwrites.js';
import { transactUntil } from './transaction.js';

/** Well before an entry ends by itself. */
const KNOWN_WITHIN_MS = 15_000;

let postgres: TestPostgres;
let issuer: TestIssuer;
let redis: TestRedis;
let admin: Redis;
let keys: IssuedKey[];

beforeAll(async () => {
  [postgres, issuer, redis] = await Promise.all([startPostgres(), startIssuer(), startRedis()]);
  admin = new Redis(redis.url);
  const first = await startManagement(undefined, secrets, { postgres, issuer });
  const world = await seed(first);
  keys = [await world.issue(), await world.issue()];
  await first.stop();
});
afterAll(async () => {
  admin?.disconnect();
  await Promise.all([postgres?.stop(), issuer?.stop(), redis?.remove()]);
});

const secrets = {
  KEY_SERVICE_SECRET: randomBytes(32).toString('base64'),
  KEY_PEPPERS: `1:${randomBytes(32).toString('base64')}`,
};
/** The only replica, until the next one starts. */
async function startAlone(): Promise<ManagementApp> {
  const app = await startManagement(redis.url, secrets, { postgres, issuer });
  while (app.app.get(Stores).link?.runs == null) await new Promise((go) => setTimeout(go, 20));
  return app;
}

async function verdictOf(
  app: Pick<ManagementApp, 'call'>,
  key: string,
): Promise<{ code: string; from: string }> {
  const token = await issuer.service('service-a', 'keys:verify');
  const { body } = await app.call('post', '/v1/keys/verify', token).send({ key });
  const { code, decision } = body as { code: string; decision?: { source: string } };
  return { code, from: decision?.source ?? '' };
}

async function rowsOf(replica: string): Promise<number> {
  const text = 'SELECT FROM keys.replica WHERE id = $1';
  return (await postgres.owner.query<unknown[]>(text, [replica])).length;
}

/** Leaves in Redis that a key is good which was revoked: who did that is gone, and the only replica stops before Redis takes it. */
async function leaveBehind({ key, secret }: IssuedKey): Promise<{ replica: string }> {
  const { app, material, ...alone } = await startAlone();
  while ((await verdictOf(alone, secret)).from !== 'cache');
  await admin.call('CLIENT', 'PAUSE', '20000', 'WRITE');
  const { db, fence } = app.get(Stores);
  await transactUntil(db, performance.now() + 10_000, async (manager) => {
    const work = { manager, by: ADMIN, material, link: null };
    const { changes } = await revokeKey(work, key.id, { reason: 'leaked' });
    await appendChanges(manager, changes);
  });
  await alone.stop();
  // what it has sent, Redis would still do
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await admin.call('CLIENT', 'UNPAUSE');
  return { replica: fence.replica };
}

/** The next replica, and what it comes to say of a key, which is VALID where it never learns better. */
async function codeAtNext({ secret }: IssuedKey): Promise<{ replica: string; code: string }> {
  const { app, ...next } = await startAlone();
  const endMs = performance.now() + KNOWN_WITHIN_MS;
  let code = 'VALID';
  while (code === 'VALID' && performance.now() < endMs) ({ code } = await verdictOf(next, secret));
  const { replica } = app.get(Stores).fence;
  await next.stop();
  return { replica, code };
}

test('a replica that stops before Redis has taken everything is known by that, and the next one makes up for it', async () => {
  const left = await leaveBehind(keys[0]!);
  expect(await rowsOf(left.replica)).toBe(1);
  const [old, older] = [randomUUID(), randomUUID()];
  await postgres.owner.query(
    `INSERT INTO keys.replica (id, epoch, seen_at) VALUES ($1, 1, now() - interval '23 hours'), ($2, 1, now() - interval '25 hours')`,
    [old, older],
  );
  const next = await codeAtNext(keys[0]!);
  expect(next.code).toBe('REVOKED');
  // nothing was left to do; one that is silent may still be there, but not after a day
  const rows = await Promise.all([next.replica, left.replica, old, older].map(rowsOf));
  expect(rows).toEqual([0, 1, 1, 0]);
});

test('where more was left than is overwritten one by one the next replica believes nothing of before', async () => {
  await leaveBehind(keys[1]!);
  await postgres.owner.query(`UPDATE keys.change_head SET seq = seq + ${MAX_OWED}`);
  expect(await codeAtNext(keys[1]!)).toMatchObject({ code: 'REVOKED' });
});
