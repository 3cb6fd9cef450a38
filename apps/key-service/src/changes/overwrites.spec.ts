import { Redis } from 'ioredis';
import { revokeKey } from '../keys/revoke-key.js';
import { Stores } from '../stores.js';
import { ADMIN } from '../testing/principal.js';
import { startReplicas, type Replicas } from '../testing/replicas.js';
import { seed, type Seed } from '../testing/seed.js';
import { appendChanges } from './change-log.js';
import { transactUntil } from './transaction.js';

/** Shorter than an entry lives, which would end by itself. */
const TEST_MS = 45_000;

let replicas: Replicas;
let world: Seed;
let redis: Redis;

beforeAll(async () => {
  replicas = await startReplicas(2);
  world = await seed(replicas);
  redis = new Redis(replicas.redis.url);
});
afterAll(async () => {
  redis?.disconnect();
  await replicas?.stop();
});

/** Revokes a key as one does who dies between the commit and what comes after it. */
async function revokeAndDie(id: string): Promise<void> {
  const { db } = replicas.app.get(Stores);
  await transactUntil(db, performance.now() + 10_000, async (manager) => {
    const work = { manager, by: ADMIN, material: replicas.material, link: null };
    const { changes } = await revokeKey(work, id, { reason: 'leaked' });
    await appendChanges(manager, changes);
  });
}

/** Asks until both replicas answer so, from the cache; within the test's time, which is shorter than an entry lives. */
async function answersOf(key: string, wanted: string): Promise<string[]> {
  const codes = [];
  for (const replica of [0, 1]) {
    let seen = { code: '', source: '' };
    while (seen.code !== wanted || seen.source !== 'cache') {
      const { body } = await replicas.ask(replica, { key });
      seen = { code: body.code, source: body.decision.source };
    }
    codes.push(seen.code);
  }
  return codes;
}

async function warmKey() {
  const issued = await world.issue();
  await answersOf(issued.secret, 'VALID');
  return issued;
}

test(
  'a change whose maker dies before its overwrite is seen by all, before the entry it left would end',
  async () => {
    const { key, secret } = await warmKey();
    await revokeAndDie(key.id);
    expect(await answersOf(secret, 'REVOKED')).toEqual(['REVOKED', 'REVOKED']);
  },
  TEST_MS,
);

test(
  'also where Redis takes no overwrite from anybody else: then the epoch is raised',
  async () => {
    const { key, secret } = await warmKey();
    await redis.call('ACL', 'SETUSER', 'default', '-@write');
    await revokeAndDie(key.id);
    for (const replica of [0, 1]) {
      let code = '';
      while (code !== 'REVOKED') ({ code } = (await replicas.ask(replica, { key: secret })).body);
    }
    await redis.call('ACL', 'SETUSER', 'default', '+@all');
    expect(await answersOf(secret, 'REVOKED')).toEqual(['REVOKED', 'REVOKED']);
  },
  TEST_MS,
);

test(
  'also where nobody has Redis at that moment: the overwrite is made up for',
  async () => {
    const { key, secret } = await warmKey();
    await redis.call('CLIENT', 'PAUSE', '4000', 'ALL');
    const asking = new AbortController();
    const asked = ask(secret, asking.signal);
    await replicas.redisInUse(false);
    asking.abort();
    await asked;
    await revokeAndDie(key.id);
    await replicas.redisInUse(true);
    expect(await answersOf(secret, 'REVOKED')).toEqual(['REVOKED', 'REVOKED']);
  },
  TEST_MS,
);

/** Keeps asking, which is how a replica notices that Redis is silent. */
async function ask(key: string, until: AbortSignal): Promise<void> {
  while (!until.aborted) for (const replica of [0, 1]) await replicas.ask(replica, { key });
}
