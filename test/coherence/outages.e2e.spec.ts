import type { IssuedKey } from '#contracts';
import { RECOVERY_MS } from '../support/patience.js';
import { startCluster, type Cluster } from './support/cluster.js';
import { watch, type Watched } from './support/watch.js';
import { codeOf, createWorld, sleep, until, type Changed, type World } from './support/world.js';

const GRACE_MS = 6_000;
/** What a reading and a request may be late by around the end of the grace. */
const EDGE_MS = 1_500;
/** A server's clock and this test's are the same one, read in different ways. */
const CLOCKS_APART_MS = 50;
const REPLICAS = [0, 1, 2];
const all = <T>(value: T) => REPLICAS.map(() => value);

let cluster: Cluster;
let world: World;
/** A well-formed key that nobody has asked about before. */
let unknown: () => string;

beforeAll(async () => {
  // entries live for less than the grace, so that it is the grace that keeps them
  cluster = await startCluster({
    env: { GRACE_SECONDS: String(GRACE_MS / 1_000), CACHE_TTL_SECONDS: '3' },
  });
  world = await createWorld(cluster);
  const never: string[] = [];
  for (let i = 0; i < 40; i += 1) never.push((await world.issue()).secret);
  unknown = () => never.pop()!;
});
afterAll(() => cluster.stop());
afterEach(() => cluster.heal());

const allow = (rights: string) =>
  cluster.redis.each((admin) => admin.call('ACL', 'SETUSER', 'default', rights));
const put = async (name: string, text: string) => (await cluster.redis.at(name)).set(name, text);
const links = (name: 'postgres' | 'redis') => cluster.replicas.map((one) => one[name]);

function watched(name: string, secret: string, mayBe: Watched['mayBe']): Watched {
  return { name, ask: (replica) => world.verify(replica, secret), mayBe };
}

async function warmKey(over: Record<string, unknown> = {}): Promise<IssuedKey> {
  const issued = await world.issue(over);
  await world.warm(issued.secret);
  return issued;
}

interface FeedEvent {
  event: string;
  data: { at?: string; keyId?: string; action?: string };
}

/** What a replica's change feed has told so far. */
async function feedOf(replica: number, signal: AbortSignal): Promise<FeedEvent[]> {
  const stream = await cluster.follow(replica, { signal });
  const feed: FeedEvent[] = [];
  const read = async () => {
    let text = '';
    for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
      const events = (text + piece).split('\n\n');
      text = events.pop()!;
      for (const told of events) {
        const [, event = '', data = ''] = /^event: (\w+)\n.*?data: (.*)$/s.exec(told) ?? [];
        feed.push({ event, data: JSON.parse(data) as FeedEvent['data'] });
      }
    }
  };
  read().catch(() => undefined);
  return feed;
}

/** The time up to which a heartbeat vouches; of anything else none. */
function vouchedMs({ event, data }: FeedEvent): number {
  return event === 'heartbeat' ? Date.parse(data.at!) : -Infinity;
}

/** Recovered: every replica answers this. */
async function untilAll(wanted: string, secret: string): Promise<void> {
  const areAll = async () => (await world.codes(secret)).every((code) => code === wanted);
  await until(`${wanted} by all replicas`, areAll, RECOVERY_MS);
}

async function untilAllWell(secret: string): Promise<void> {
  await untilAll('VALID', secret);
}

/** Whoever has not yet reported an epoch that was raised before would rightly be waited for. */
async function untilAllHeard(): Promise<void> {
  const isHeard = async () => {
    const spare = await world.issue();
    return (await world.revoke(1, spare.key.id)).body.propagation?.confirmed === true;
  };
  await until('every replica to be heard', isHeard, RECOVERY_MS);
}

async function allMutations(id: string): Promise<number[]> {
  const answers = await Promise.all([
    world.switch(0, id, 'disable'),
    world.revoke(1, id),
    world.rotate(2, id, 0),
    world.patch(0, id, { name: 'other' }),
    cluster.manage(1, 'POST /v1/consumers', { body: { slug: 'lost' } }),
  ]);
  return answers.map(({ status }) => status);
}

describe('PostgreSQL', () => {
  test('gone: known keys go on for the grace, everything else is 503, and all is well again without a restart', async () => {
    const { key, secret } = await warmKey();
    const cold = unknown();
    let goneMs = Infinity;
    let downMs = Infinity;
    let backMs = Infinity;
    const watching = watch(3, [
      watched('warm', secret, (startedMs) => {
        if (startedMs < goneMs + GRACE_MS - EDGE_MS) return ['VALID'];
        return startedMs > downMs + GRACE_MS + EDGE_MS && startedMs < backMs
          ? [503]
          : ['VALID', 503];
      }),
    ]);
    await sleep(200);
    goneMs = performance.now();
    await cluster.postgres.stop();
    downMs = performance.now();
    expect(await world.codes(cold)).toEqual(all(503));
    expect(await allMutations(key.id)).toEqual([503, 503, 503, 503, 503]);
    await sleep(downMs + GRACE_MS + 2 * EDGE_MS - performance.now());
    expect(await world.codes(secret)).toEqual(all(503));
    backMs = performance.now();
    await cluster.postgres.start();
    await untilAllWell(secret);
    expect(await world.codes(cold)).toEqual(all('VALID'));
    await watching.stop();
    expect(watching.violations).toEqual([]);
    expect(watching.counts['warm VALID']).toBeGreaterThan(50);
    expect(await world.revoke(0, key.id)).toMatchObject({
      status: 200,
      body: { propagation: { confirmed: true } },
    });
    expect(await world.codes(secret)).toEqual(all('REVOKED'));
  });

  test.each([
    ['silent', (on: boolean) => links('postgres').forEach((link) => link.blackhole(on))],
    ['slow', (on: boolean) => links('postgres').forEach((link) => link.delay(on ? 5_000 : 0))],
  ])(
    '%s: known keys go on, unknown ones are 503, nothing hangs, no feed vouches for that time',
    async (_, fault) => {
      const { secret } = await warmKey();
      const [cold, second] = [unknown(), unknown()];
      const following = new AbortController();
      const feeds = await Promise.all(REPLICAS.map((one) => feedOf(one, following.signal)));
      const isBeating = () =>
        feeds.every((feed) => feed.some(({ event }) => event === 'heartbeat'));
      await until('heartbeats', isBeating);
      const watching = watch(3, [
        watched('warm', secret, () => ['VALID']),
        watched('cold', cold, () => [503, 'VALID']),
      ]);
      fault(true);
      const faultMs = Date.now();
      await sleep(1_000);
      const answers = await Promise.all(REPLICAS.map((one) => world.verify(one, second)));
      expect(answers.map(codeOf)).toEqual(all(503));
      await sleep(1_500);
      // what was read before may be told later
      for (const feed of feeds)
        expect(Math.max(...feed.map(vouchedMs))).toBeLessThanOrEqual(faultMs + CLOCKS_APART_MS);
      fault(false);
      const endMs = Date.now();
      await untilAllWell(secret);
      const isProven = () => feeds.every((feed) => feed.some((one) => vouchedMs(one) > endMs));
      await until('heartbeats of now', isProven, RECOVERY_MS);
      following.abort();
      await untilAllWell(cold);
      await watching.stop();
      expect(watching.violations).toEqual([]);
      expect(watching.counts['cold 503']).toBeGreaterThan(0);
    },
  );

  test('late with its answers to one replica: its feed vouches for no time before it has told what was changed until then', async () => {
    const following = new AbortController();
    const feed = await feedOf(0, following.signal);
    // with each reading, and with the rows that it leads to
    cluster.replicas[0]!.postgres.delay(300);
    const changes: { id: string; doneMs: number }[] = [];
    for (let i = 0; i < 6; i += 1) {
      const { key } = await world.issue({}, 1);
      expect((await world.revoke(1, key.id)).status).toBe(200);
      changes.push({ id: key.id, doneMs: Date.now() + CLOCKS_APART_MS });
      await sleep(150);
    }
    const { doneMs: lastMs } = changes.at(-1)!;
    await until('a heartbeat of afterwards', () => feed.some((one) => vouchedMs(one) > lastMs));
    following.abort();
    for (const { id, doneMs } of changes) {
      const told = feed.findIndex(
        ({ data: { keyId, action } }) => keyId === id && action === 'key.revoked',
      );
      const vouched = feed.findIndex((one) => vouchedMs(one) >= doneMs);
      expect(told).toBeGreaterThanOrEqual(0);
      expect(told).toBeLessThan(vouched);
    }
  });

  test('cut from one replica whose Redis can be read only: a revoke elsewhere is not told done, and is after the bound', async () => {
    const { key, secret } = await warmKey();
    const [cut] = cluster.replicas;
    cut!.postgres.refuse(true);
    await allow('-@write');
    let toldMs = Infinity;
    let boundMs = 0;
    const mayBe = (startedMs: number) =>
      startedMs > toldMs + boundMs ? ['REVOKED', 503] : ['VALID', 'REVOKED', 503];
    const watching = watch(1, [watched('at the cut replica', secret, mayBe)]);
    const revoked = await world.revoke(1, key.id);
    const propagation = revoked.body.propagation!;
    expect({ status: revoked.status, confirmed: propagation.confirmed }).toEqual({
      status: 200,
      confirmed: false,
    });
    expect(propagation.boundSeconds).toBeGreaterThan(0);
    expect(revoked.tookMs).toBeLessThan(3_000);
    boundMs = propagation.boundSeconds * 1_000;
    toldMs = revoked.endedMs;
    // the raise is known where PostgreSQL can be read
    expect([codeOf(await world.verify(1, secret)), codeOf(await world.verify(2, secret))]).toEqual([
      'REVOKED',
      'REVOKED',
    ]);
    await sleep(boundMs + 500);
    await watching.stop();
    expect(watching.violations).toEqual([]);
    await allow('+@all');
    cluster.heal();
    await untilAll('REVOKED', secret);
  });

  test('cut from one replica whose Redis can be read only: a revoke of several keys is not told done when it is sent again', async () => {
    // warm: the replica goes by the cache, and has said so lately
    const { key } = await warmKey({ tags: ['several'] });
    cluster.replicas[0]!.postgres.refuse(true);
    await allow('-@write');
    const body = { filter: { tag: 'several' }, reason: 'compromised' };
    const send = () => cluster.manage<Changed>(1, 'POST /v1/keys/revoke', { body });
    const [first, second] = [await send(), await send()];
    expect(first.body).toMatchObject({ revoked: 1, keyIds: [key.id] });
    expect(second.body).toMatchObject({ revoked: 0, keyIds: [] });
    for (const { body: told } of [first, second])
      expect(told.propagation).toMatchObject({ confirmed: false });
    await allow('+@all');
    cluster.heal();
  });

  test.each([0, 2])(
    'whose answers do not reach replica %i, whose Redis can be read only: a revoke elsewhere is not told done, though that has asked since',
    async (held) => {
      await untilAllHeard();
      const { key, secret } = await warmKey();
      await allow('-@write');
      cluster.replicas[held]!.postgres.hold(true);
      const { body } = await world.revoke(1, key.id);
      // it goes by what it knows, as it must where nobody can be asked
      const code = codeOf(await world.verify(held, secret));
      expect({ confirmed: body.propagation!.confirmed, code }).toEqual({
        confirmed: false,
        code: 'VALID',
      });
      await allow('+@all');
      cluster.heal();
      await untilAll('REVOKED', secret);
    },
  );

  test('cut from one replica that reads the same Redis: a revoke elsewhere is done there too', async () => {
    const { key, secret } = await warmKey();
    const { secret: other } = await warmKey();
    await untilAllHeard();
    cluster.replicas[0]!.postgres.refuse(true);
    const isGrace = async () => (await world.verify(0, other)).body.decision?.source === 'cache';
    await until('the grace', isGrace, RECOVERY_MS);
    const revoked = await world.revoke(1, key.id);
    expect(revoked).toMatchObject({ status: 200, body: { propagation: { confirmed: true } } });
    // it cannot say REVOKED: all that it knows is that there is something newer
    expect(await world.codes(secret)).toEqual([503, 'REVOKED', 'REVOKED']);
    expect(codeOf(await world.verify(0, other))).toBe('VALID');
  });
});

describe('Redis', () => {
  test.each([
    ['gone', () => cluster.redis.stop(), () => cluster.redis.start()],
    [
      'slow',
      async () => links('redis').forEach((link) => link.delay(2_000)),
      async () => links('redis').forEach((link) => link.delay(0)),
    ],
    [
      'silent',
      async () => links('redis').forEach((link) => link.blackhole(true)),
      async () => links('redis').forEach((link) => link.blackhole(false)),
    ],
  ])(
    '%s: no error, changes are done at once, and it is used again afterwards',
    async (_, break_, mend) => {
      const { secret } = await warmKey();
      const { key, secret: revoked } = await warmKey();
      const watching = watch(3, [
        watched('known', secret, () => ['VALID']),
        watched('never seen', unknown(), () => ['VALID']),
      ]);
      await break_();
      await sleep(500);
      const answer = await world.revoke(1, key.id);
      expect(answer).toMatchObject({ status: 200, body: { propagation: { confirmed: true } } });
      expect(await world.codes(revoked)).toEqual(all('REVOKED'));
      await sleep(1_000);
      await mend();
      await world.warm(secret);
      expect(await world.codes(revoked)).toEqual(all('REVOKED'));
      await watching.stop();
      expect(watching.violations).toEqual([]);
    },
  );

  test('that refused an overwrite makes the cache cold once, and stays in use', async () => {
    const { secret } = await warmKey();
    const { key } = await warmKey();
    const standing = 'SELECT epoch::int, run_ids FROM keys.cache_epoch';
    const [before] = await cluster.sql<{ epoch: number; run_ids: string[] }>(standing);
    await allow('-@write');
    expect((await world.revoke(0, key.id)).status).toBe(200);
    await allow('+@all');
    await world.warm(secret);
    expect(await cluster.sql(standing)).toEqual([{ ...before, epoch: before!.epoch + 1 }]);
  });

  test('gone: limits are kept by each replica for its share', async () => {
    const limits = { rateLimits: [{ name: 'a', limit: 6, windowSeconds: 3_600 }] };
    const { secret } = await world.issue(limits);
    await cluster.redis.stop();
    const isSwitched = async () => codeOf(await world.verify(0, unknown())) === 'VALID';
    await until('the switch-over', isSwitched, RECOVERY_MS);
    const codes: (string | number)[] = [];
    for (let i = 0; i < 4; i += 1) codes.push(...(await world.codes(secret)));
    await cluster.redis.start();
    expect(codes.filter((code) => code === 'VALID')).toHaveLength(6);
    expect(codes.filter((code) => code === 'RATE_LIMITED')).toHaveLength(6);
  });

  test('gone: what costs more than the share of a replica is told so, with no wait that would not help, and passes in parts or afterwards', async () => {
    const { secret } = await world.issue({
      rateLimits: [
        { name: 'a', limit: 6, windowSeconds: 3_600 },
        { name: 'b', limit: 100, windowSeconds: 3_600 },
      ],
    });
    await cluster.redis.stop();
    const isSwitched = async () => codeOf(await world.verify(0, unknown())) === 'VALID';
    await until('the switch-over', isSwitched, RECOVERY_MS);
    for (const more of [{}, { dryRun: true }]) {
      const { body } = await world.verify(0, secret, { cost: 3, ...more });
      expect(body).toMatchObject({ code: 'RATE_LIMITED', costExceedsShare: true });
      expect(body).not.toHaveProperty('retryAfterSeconds');
    }
    const { body: never } = await world.verify(0, secret, { cost: 7 });
    expect(never).toMatchObject({ code: 'RATE_LIMITED', costExceedsLimit: true });
    expect(never).not.toHaveProperty('costExceedsShare');
    const { body: part } = await world.verify(0, secret, { cost: 2 });
    expect(part.code).toBe('VALID');
    const { body: next } = await world.verify(0, secret, { cost: 2 });
    expect(next).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 3_600 });
    expect(next).not.toHaveProperty('costExceedsShare');
    await cluster.redis.start();
    const passes = async () => codeOf(await world.verify(0, secret, { cost: 3 })) === 'VALID';
    await until('it to pass', passes, RECOVERY_MS);
  });

  test('with an entry from before a revoke put back by somebody: not for longer than entries live', async () => {
    const { key, secret } = await warmKey();
    const [old] = await world.positives(key.id);
    expect((await world.revoke(0, key.id)).body.propagation?.confirmed).toBe(true);
    const endMs = performance.now() + 5_000;
    while (performance.now() < endMs) {
      await put(`kw:{${key.id}}:rec`, old!);
      await sleep(50);
    }
    await put(`kw:{${key.id}}:rec`, old!);
    expect(await world.codes(secret)).toEqual(all('REVOKED'));
  });
});

test('links that break again and again end no replica', async () => {
  const { secret } = await warmKey();
  for (let i = 0; i < 150; i += 1) {
    for (const { postgres, redis } of cluster.replicas) {
      postgres.cut();
      if (i % 5 === 0) redis.cut();
    }
    // at another moment of a connection's life each time
    await sleep(i % 30);
  }
  await untilAllWell(secret);
  expect(await world.codes(secret)).toEqual(all('VALID'));
});

test.each([['refuse'], ['blackhole']] as const)(
  'PostgreSQL and Redis cut from one replica (%s) while another revokes: the one says nothing that is not true any more',
  async (way) => {
    const { key, secret } = await warmKey();
    const [cut] = cluster.replicas;
    let trueFromMs = Infinity;
    const watching = watch(1, [
      watched('at the cut replica', secret, (startedMs) =>
        startedMs > trueFromMs ? ['REVOKED', 503] : ['VALID', 'REVOKED', 503],
      ),
    ]);
    for (const link of [cut!.postgres, cut!.redis]) link[way](true);
    const revoked = await world.revoke(1, key.id);
    expect(revoked.status).toBe(200);
    trueFromMs = revoked.endedMs + revoked.body.propagation!.boundSeconds * 1_000;
    for (const replica of [1, 2])
      expect(codeOf(await world.verify(replica, secret))).toBe('REVOKED');
    await sleep(2_500);
    cluster.heal();
    await untilAll('REVOKED', secret);
    await watching.stop();
    expect(watching.violations).toEqual([]);
    expect(watching.counts['at the cut replica 503']).toBeGreaterThan(0);
  },
);

test('a key with a quota, while PostgreSQL is silent: every answer comes in time, and none is more than there was', async () => {
  const { secret } = await warmKey({ quota: { limit: 60 } });
  const watching = watch(
    3,
    Array.from({ length: 4 }, (_, n) =>
      watched(`quota ${n}`, secret, () => ['VALID', 503, 'QUOTA_EXCEEDED']),
    ),
  );
  links('postgres').forEach((link) => link.blackhole(true));
  await sleep(4_000);
  cluster.heal();
  await untilAll('QUOTA_EXCEEDED', secret);
  await watching.stop();
  expect(watching.violations).toEqual([]);
  const valid = Object.entries(watching.counts).filter(([name]) => name.endsWith('VALID'));
  expect(valid.reduce((sum, [, count]) => sum + count, 0)).toBeLessThanOrEqual(60);
  expect(Object.keys(watching.counts).some((name) => name.endsWith(' 503'))).toBe(true);
});

test('PostgreSQL and Redis gone: every answer is 503, and all is well again without a restart', async () => {
  const { secret } = await warmKey();
  let goneMs = Infinity;
  let backMs = Infinity;
  const watching = watch(3, [
    watched('warm', secret, (startedMs) => {
      return startedMs > goneMs && startedMs < backMs ? [503] : ['VALID', 503];
    }),
    watched('cold', unknown(), () => [503, 'VALID']),
  ]);
  await Promise.all([cluster.postgres.stop(), cluster.redis.stop()]);
  goneMs = performance.now();
  await sleep(1_500);
  backMs = performance.now();
  await Promise.all([cluster.postgres.start(), cluster.redis.start()]);
  await untilAllWell(secret);
  await watching.stop();
  expect(watching.violations).toEqual([]);
  expect(watching.counts['warm 503']).toBeGreaterThan(0);
});
