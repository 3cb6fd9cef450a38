import type { IssuedKey } from '#contracts';
import { createKeyGuard } from '#key-guard';
import { RECOVERY_MS } from '../support/patience.js';
import { startPostgresPair, type PostgresPair } from '../support/postgres-pair.js';
import { disagreements } from './support/agreement.js';
import { startClusterOn, type Cluster } from './support/cluster.js';
import { startRedis } from './support/redis.js';
import type { SomeRedis } from './support/stores.js';
import { watch, type Watched } from './support/watch.js';
import { codeOf, createWorld, until, type World } from './support/world.js';

const REPLICAS = [0, 1, 2];
const all = <T>(value: T) => REPLICAS.map(() => value);

let postgres: PostgresPair;
let cluster: Cluster<{ postgres: PostgresPair; redis: SomeRedis }>;
let world: World;
/** Secrets of keys that were told revoked, at any time. */
const revoked: string[] = [];

beforeAll(async () => {
  const stores = await Promise.all([startPostgresPair(), startRedis()]);
  [postgres] = stores;
  cluster = await startClusterOn({ postgres, redis: stores[1] });
  world = await createWorld(cluster);
});
afterAll(() => cluster?.stop());

async function warmKey(): Promise<IssuedKey> {
  const issued = await world.issue();
  await world.warm(issued.secret);
  return issued;
}

function watched(name: string, secret: string, mayBe: Watched['mayBe']): Watched {
  return { name, ask: (replica) => world.verify(replica, secret), mayBe };
}

/**
 * Mutations through every replica until each has done one; what they answer meanwhile is 503. One after the other: what one
 * confirms is asked of all.
 */
async function untilChangesWork(): Promise<void> {
  const endMs = performance.now() + RECOVERY_MS;
  for (const replica of REPLICAS) {
    const isDone = async () => {
      const { status, body } = await cluster.manage<IssuedKey>(replica, 'POST /v1/keys', {
        body: { name: 'new', consumer: 'service-b', grants: GRANTS },
      });
      expect([201, 503]).toContain(status);
      if (status !== 201) return false;
      const { key, secret } = body;
      const done = await world.revoke(replica, key.id);
      if (done.status !== 200 || !done.body.propagation!.confirmed) return false;
      revoked.push(secret);
      // another replica may not be on the new primary yet, and says so
      const codes = await world.codes(secret);
      for (const code of codes) expect(['REVOKED', 503]).toContain(code);
      return !codes.includes(503);
    };
    await until(`a change through replica ${replica}`, isDone, endMs - performance.now());
  }
}

const GRANTS = [{ service: 'service-a', scopes: ['reports:read'] }];

/** The number that a stream goes on from after it told to forget everything. */
async function firstReset(stream: ReadableStream<Uint8Array>): Promise<number> {
  let text = '';
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    text += piece;
    const reset = /event: reset\nid: (\d+)\n/.exec(text);
    if (reset !== null) return Number(reset[1]);
  }
  throw new Error(`The stream ended without a reset:\n${text}`);
}

/** A guard that follows all replicas, with its code for a scope. */
async function startGuard(key: string) {
  const urls = cluster.replicas.map(({ url }) => url);
  const { serviceToken: token } = cluster;
  const guard = createKeyGuard({ urls, token, service: 'service-a', timeoutMs: 5_000 });
  await until('a proven feed', () => guard.state().isProven);
  const says = async (scope: string, code: string) => {
    const question = { key, scopes: [`reports:${scope}`] };
    const told = async () => guard.verify(question);
    const isTold = () =>
      told()
        .then((verdict) => verdict.code === code)
        .catch(() => false);
    await until(`${code} of the guard to ${scope}`, isTold);
  };
  return { says, close: () => guard.close() };
}

async function expectNothingLost(): Promise<void> {
  for (const secret of revoked) expect(await world.codes(secret)).toEqual(all('REVOKED'));
  expect(await disagreements(cluster)).toEqual([]);
}

test('the primary is killed and the standby promoted: known keys go on, changes work again at all replicas within 20 s of that, nothing confirmed is lost', async () => {
  const warm = await warmKey();
  const before = await Promise.all(REPLICAS.map((one) => world.issue({}, one)));
  for (const { key, secret } of before) {
    expect((await world.revoke(0, key.id)).body.propagation?.confirmed).toBe(true);
    revoked.push(secret);
  }
  const watching = watch(3, [
    watched('warm', warm.secret, () => ['VALID']),
    ...before.map(({ secret }, i) => watched(`revoked ${i}`, secret, () => ['REVOKED', 503])),
  ]);
  await postgres.kill('first');
  await postgres.promote('second');
  await untilChangesWork();
  await watching.stop();
  expect(watching.violations).toEqual([]);
  expect(watching.counts['warm VALID']).toBeGreaterThan(50);
  await expectNothingLost();
});

test('the primary goes on with its connections but takes no writes, and the standby is promoted: nobody reads from it any more', async () => {
  await postgres.follow('first');
  const keys = await Promise.all(REPLICAS.map((one) => world.issue({}, one)));
  const warm = await warmKey();
  let deadMs = Infinity;
  const watching = watch(3, [
    watched('warm', warm.secret, () => ['VALID']),
    ...keys.map(({ secret }, i) =>
      watched(`key ${i}`, secret, (startedMs) =>
        startedMs > deadMs ? ['REVOKED', 503] : ['VALID', 'REVOKED', 503],
      ),
    ),
  ]);
  await postgres.caughtUp('first');
  await postgres.demote('second');
  await postgres.promote('first');
  await untilChangesWork();
  // what the old primary still says of these is that they are active
  for (const [replica, { key, secret }] of keys.entries()) {
    expect((await world.revoke(replica, key.id)).body.propagation?.confirmed).toBe(true);
    revoked.push(secret);
    const { body } = await world.verify((replica + 1) % 3, secret);
    expect(body.code).toBe('REVOKED');
  }
  deadMs = performance.now();
  const [stale] = await postgres.on<{ count: string }>(
    'second',
    "SELECT count(*) FROM keys.key WHERE id = ANY ($1) AND state = 'active'",
    [keys.map(({ key }) => key.id)],
  );
  expect(stale).toEqual({ count: '3' });
  const isWell = async () => (await world.codes(warm.secret)).every((code) => code === 'VALID');
  await until('all to be well', isWell, RECOVERY_MS);
  await watching.stop();
  expect(watching.violations).toEqual([]);
  expect(codeOf(await world.verify(0, keys[0]!.secret))).toBe('REVOKED');
  await expectNothingLost();
});

test('a standby is promoted that lacks what was committed last: nothing cached of it is believed, though its numbers are given again', async () => {
  await postgres.kill('second');
  await postgres.follow('second');
  const { key, secret } = await world.issue({ grants: GRANTS });
  await postgres.caughtUp('second');
  await postgres.kill('second');
  // version 2 of the key, of which the standby never hears
  const grants = [{ service: 'service-a', scopes: ['reports:read', 'reports:write'] }];
  const following = new AbortController();
  const streams = await Promise.all(
    REPLICAS.map((replica) => cluster.follow(replica, { signal: following.signal })),
  );
  const resets = streams.map((stream) => firstReset(stream));
  const guard = await startGuard(secret);
  await guard.says('read', 'VALID');
  expect((await world.patch(0, key.id, { grants })).status).toBe(200);
  await guard.says('write', 'VALID');
  await world.warm(secret);
  const asked = { scopes: ['reports:write'] };
  expect(await world.codes(secret, asked)).toEqual(all('VALID'));
  await postgres.kill('first');
  await postgres.start('second');
  await postgres.promote('second');
  await untilChangesWork();
  await guard.says('read', 'VALID');
  await guard.says('write', 'INSUFFICIENT_SCOPE');
  // version 2 again
  expect((await world.revoke(1, key.id)).body).toMatchObject({
    key: { version: 2 },
    propagation: { confirmed: true },
  });
  expect(await world.codes(secret, asked)).toEqual(all('REVOKED'));
  await guard.says('read', 'REVOKED');
  await guard.close();
  revoked.push(secret);
  await expectNothingLost();
  // whoever follows is told to forget, and so is who goes on after a number, which may be a lost one
  const told = await Promise.all(resets);
  for (const [replica, lastEventId] of told.entries()) {
    const resumed = await cluster.follow(replica, { signal: following.signal, lastEventId });
    expect(await firstReset(resumed)).toBeGreaterThanOrEqual(lastEventId);
  }
  following.abort();
});
