import { createHash, randomBytes } from 'node:crypto';
import type { ImportedKeys, Key, Verdict } from '#contracts';
import { makeKeyText, parseKeyText } from '#key-core';
import { startCluster, type Cluster } from './support/cluster.js';
import { DOORS, INACTIVE, type Door } from './support/doors.js';
import { call, type Answer } from './support/http.js';
import { REDIS_KIND } from './support/redis.js';
import { watch } from './support/watch.js';
import { codeOf, createWorld, sleep, until, type Changed, type World } from './support/world.js';

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster();
  world = await createWorld(cluster);
});
afterAll(() => cluster.stop());
afterEach(() => cluster.heal());

const REPLICAS = [0, 1, 2];
/** That of a key service of which nothing else is said. */
const GRACE_SECONDS = 300;
/** What keys may be limited by, each of which a verification looks at in a way of its own; nothing here comes near the limits. */
const KINDS: readonly Record<string, unknown>[] = [
  {},
  { rateLimits: [{ name: 'own', limit: 1_000_000, windowSeconds: 1 }] },
  { rateLimits: [{ name: 'all', limit: 1_000_000, windowSeconds: 1, sharedBy: 'consumer' }] },
  { quota: { limit: 1_000_000 } },
];
const all = <T>(value: T) => REPLICAS.map(() => value);
/** The server that holds what Redis has of a key. */
const holderOf = (keyId: string) => cluster.redis.at(`kw:{${keyId}}:rec`);
const evict = async (keyId: string) => (await holderOf(keyId)).del(`kw:{${keyId}}:rec`);
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('a validation that is frozen between its database read and its cache fill', () => {
  /** Whether PostgreSQL answers a read of records that begins after a time of its clock, half a second at most from now. */
  async function isReadAfter(time: string): Promise<boolean> {
    const read = `SELECT FROM pg_stat_activity
      WHERE query LIKE 'SELECT e.epoch, k.id%' AND state = 'idle' AND query_start > $1`;
    const endMs = performance.now() + 500;
    while (performance.now() < endMs) if ((await cluster.sql(read, [time])).length > 0) return true;
    return false;
  }

  /** A key whose record PostgreSQL has read for a question to the first replica, which has a right to fill and waits for it. */
  async function freeze() {
    for (;;) {
      const { key, secret } = await world.issue();
      // leaves connections open that nobody uses
      const others = await Promise.all([1, 2, 3, 4].map(() => world.issue()));
      await Promise.all(others.map((one) => world.verify(0, one.secret)));
      const [now] = await cluster.sql<{ at: string }>('SELECT clock_timestamp()::text AS at');
      cluster.replicas[0]!.postgres.hold(true);
      const frozen = world.verify(0, secret);
      const isHeld = await isReadAfter(now!.at);
      const mayFill = await (await holderOf(key.id)).exists(`kw:{${key.id}}:fill`);
      if (isHeld && mayFill === 1) return { key, secret, frozen };
      // what was held was a connection that was being opened
      cluster.heal();
      await frozen;
    }
  }

  test.each([
    ['while the marker of the revoke stands', false],
    ['after the marker was evicted', true],
  ])('puts no old state into the cache when it thaws %s', async (_, isMarkerLost) => {
    const { key, secret, frozen } = await freeze();
    const revoked = await world.revoke(1, key.id);
    expect(revoked).toMatchObject({ status: 200, body: { propagation: { confirmed: true } } });
    // it is the lease then, not the marker, that has to stop the fill
    if (isMarkerLost) await evict(key.id);
    cluster.heal();
    expect(['VALID', 'REVOKED', 503]).toContain(codeOf(await frozen));
    expect(await world.positives(key.id)).toEqual([]);
    for (let i = 0; i < 5; i += 1) expect(await world.codes(secret)).toEqual(all('REVOKED'));
    expect(Number((await world.positives(key.id))[0]?.split(':')[0] ?? 2)).toBe(2);
  });
});

/** Why Redis takes no writes, how that comes and goes. */
type Refusal = [string, () => Promise<unknown>, () => Promise<unknown>];

describe('where Redis takes no writes', () => {
  const each = (...command: [string, ...string[]]) =>
    cluster.redis.each((admin) => admin.call(...command));
  const followOthers: Refusal = [
    'because it follows another',
    () => each('REPLICAOF', '127.0.0.1', '1'),
    () => each('REPLICAOF', 'NO', 'ONE'),
  ];
  // a master of a cluster that has slots follows nobody
  const lackFollowers: Refusal = [
    'because too few follow it',
    () => each('CONFIG', 'SET', 'min-replicas-to-write', '9'),
    () => each('CONFIG', 'SET', 'min-replicas-to-write', '0'),
  ];
  const refusals: Refusal[] = [
    [
      'for want of the right',
      () => each('ACL', 'SETUSER', 'default', '-@write'),
      () => each('ACL', 'SETUSER', 'default', '+@all'),
    ],
    [
      'for want of memory',
      () => each('CONFIG', 'SET', 'maxmemory', '1'),
      () => each('CONFIG', 'SET', 'maxmemory', '0'),
    ],
    REDIS_KIND === 'cluster' ? lackFollowers : followOthers,
  ];
  const cut = { grants: [{ service: 'service-a', scopes: ['reports:read'] }] };
  const changes = [
    { dead: 'REVOKED', asked: {}, make: (id: string) => world.revoke(0, id) },
    { dead: 'DISABLED', asked: {}, make: (id: string) => world.switch(1, id, 'disable') },
    {
      dead: 'INSUFFICIENT_SCOPE',
      asked: { scopes: ['reports:write'] },
      make: (id: string) => world.patch(2, id, cut),
    },
  ];

  // another change comes first each time: it is the one that finds a cache which nothing has made cold yet
  test.each(refusals.map((refusal, first) => [...refusal, first] as const))(
    '%s, a change is told done, and is, on every replica, though the old entry stands and can be written over again later',
    async (_, refuse, allow, first) => {
      const order = [...changes.slice(first), ...changes.slice(0, first)];
      const told = [];
      // of a replica that is late to report, as on a busy machine, nobody can be certain: that the answer says so is right
      do told.push(await changeAll(order, refuse, allow));
      while (told.at(-1)!.includes('unheard') && told.length < 5);
      expect(told.at(-1)).toEqual(['confirmed', 'confirmed', 'confirmed']);
    },
  );

  /** Makes changes of keys in the cache while it cannot be written; how far each was told to have reached. */
  async function changeAll(
    order: typeof changes,
    refuse: () => Promise<unknown>,
    allow: () => Promise<unknown>,
  ): Promise<string[]> {
    const bystander = await world.issue({ rateLimits: [] });
    const limited = await world.issue({
      rateLimits: [{ name: 'a', limit: 1_000_000, windowSeconds: 1 }],
    });
    const subjects = await Promise.all(
      order.map(async (change) => ({ ...change, ...(await world.issue()) })),
    );
    for (const { secret } of [bystander, limited, ...subjects]) await world.warm(secret);
    const entries = () => Promise.all(subjects.map(({ key }) => world.positives(key.id)));
    const before = await entries();
    expect(before.map((one) => one.length)).toEqual([1, 1, 1]);
    const watches = [
      watch(3, [
        { name: 'unlimited', ask: askAbout(bystander.secret), mayBe: () => ['VALID'] },
        { name: 'limited', ask: askAbout(limited.secret), mayBe: () => ['VALID'] },
      ]),
    ];
    const told: string[] = [];
    const lies: string[] = [];
    try {
      await refuse();
      for (const { make, key, secret, asked, dead } of subjects) {
        const reached = reachOf(await make(key.id));
        told.push(reached);
        const codes = await world.codes(secret, asked);
        const isTrue = reached !== 'confirmed' || codes.every((code) => code === dead);
        if (!isTrue) lies.push(`told ${dead} it is ${codes.join()}`);
      }
      expect(lies).toEqual([]);
      // nothing has removed it: that nobody believes it is what keeps the key dead
      expect(await entries()).toEqual(before);
      const dying = subjects.map(({ secret, asked, dead }, i) => ({
        name: dead,
        ask: askAbout(secret, asked),
        mayBe: () => (told[i] === 'confirmed' ? [dead] : ['VALID', dead]),
      }));
      watches.push(watch(3, dying));
      await allow();
      for (const { secret } of subjects) await world.warm(secret);
      await sleep(300);
    } finally {
      await allow();
      for (const one of watches) await one.stop();
    }
    expect(watches.flatMap(({ violations }) => violations)).toEqual([]);
    for (const { secret, asked, dead } of subjects)
      expect(await world.codes(secret, asked)).toEqual(all(dead));
    return told;
  }

  function askAbout(secret: string, asked: object = {}) {
    return (replica: number) => world.verify(replica, secret, asked);
  }

  /** A change is unheard where the epoch was raised, but some replica may not have read it for as long as the grace. */
  function reachOf({ status, body, headers }: Answer<Changed>): string {
    expect(status).toBe(200);
    const header = String(headers['keyward-propagation'] ?? '');
    const bound = body.propagation?.boundSeconds ?? Number(/bound=(\d+)$/.exec(header)?.[1] ?? 0);
    const isConfirmed = body.propagation?.confirmed ?? header === 'confirmed';
    expect(isConfirmed).toBe(bound === 0);
    if (isConfirmed) return 'confirmed';
    return bound === GRACE_SECONDS ? 'unheard' : `not certain for ${bound} s`;
  }
});

test('a Redis that comes back with what it held before a revoke is not believed from the first request on', async () => {
  const { key, secret } = await world.issue();
  await world.warm(secret);
  expect(await world.positives(key.id)).toHaveLength(1);
  await cluster.redis.dump();
  await cluster.redis.stop();
  const revoked = await world.revoke(0, key.id);
  expect(revoked).toMatchObject({ status: 200, body: { propagation: { confirmed: true } } });
  const watching = watch(
    3,
    [{ name: 'revoked', ask: (one) => world.verify(one, secret), mayBe: () => ['REVOKED'] }],
    0,
  );
  await cluster.redis.start();
  expect(await world.positives(key.id)).toHaveLength(1);
  const fresh = await world.issue();
  await world.warm(fresh.secret);
  await watching.stop();
  expect(watching.violations).toEqual([]);
  expect(await world.codes(secret)).toEqual(all('REVOKED'));
});

test('what Redis forgets is read again, without one error', async () => {
  const keys = await Promise.all(Array.from({ length: 10 }, () => world.issue()));
  const watched = keys.map(({ key, secret }) => ({
    name: key.id,
    ask: (replica: number) => world.verify(replica, secret),
    mayBe: () => ['VALID'],
  }));
  const watching = watch(3, watched, 1);
  for (let i = 0; i < 15; i += 1) {
    await cluster.redis.each((admin) => admin.flushall());
    await sleep(100);
  }
  await watching.stop();
  expect(watching.violations).toEqual([]);
});

test('a marker that is evicted while a fill is under way lets nothing old in', async () => {
  const { key, secret } = await world.issue();
  let deadMs = Infinity;
  const watching = watch(
    3,
    [
      {
        name: 'revoked',
        ask: (one) => world.verify(one, secret),
        mayBe: (startedMs) => (startedMs > deadMs ? ['REVOKED'] : ['VALID', 'REVOKED']),
      },
    ],
    0,
  );
  const isEnough = () => (watching.counts['revoked REVOKED'] ?? 0) > 200;
  const evicting = async () => {
    while (!isEnough()) {
      await evict(key.id);
      await sleep(3);
    }
  };
  const evicted = evicting();
  await sleep(200);
  const revoked = await world.revoke(1, key.id);
  expect(revoked.body.propagation?.confirmed).toBe(true);
  deadMs = revoked.endedMs;
  await evicted;
  await watching.stop();
  expect(watching.violations).toEqual([]);
});

describe('every change that a verification can see is seen by all replicas when it has returned:', () => {
  type Subject = { key: Key; secret: string; replica: number };
  type Seen = (verdict: Verdict) => unknown;
  interface Mutator {
    change: (subject: Subject) => Promise<{ status: number }>;
    /** What is done to the key before it is looked at. */
    prepare?: (subject: Subject) => Promise<{ status: number }>;
    /** More of the question, before and after. */
    asked?: object;
    seen: Seen;
    before: unknown;
    after: unknown;
    over?: Record<string, unknown>;
  }
  const code: Seen = (verdict) => verdict.code;
  const patch =
    (body: object): Mutator['change'] =>
    ({ key, replica }) =>
      world.patch(replica, key.id, body);
  const dies = (after: string, change: Mutator['change'], more: Partial<Mutator> = {}): Mutator => {
    return { change, seen: code, before: 'VALID', after, ...more };
  };
  const overlap =
    (overlapSeconds: number): Mutator['change'] =>
    ({ key, replica }) =>
      world.rotate(replica, key.id, overlapSeconds);
  const rotation =
    (action: string, body: object): Mutator['change'] =>
    ({ key, replica }) =>
      cluster.manage(replica, `POST /v1/keys/${key.id}/rotation/${action}`, { body });
  const byHolder =
    (action: string, body: object): Mutator['change'] =>
    ({ secret, replica }) =>
      call({
        method: 'POST',
        url: `${cluster.replicas[replica]!.url}/v1/self/${action}`,
        headers: { 'x-api-key': secret },
        body,
      });
  const mutators: Record<string, Mutator> = {
    disable: dies('DISABLED', ({ key, replica }) => world.switch(replica, key.id, 'disable')),
    revoke: dies('REVOKED', ({ key, replica }) => world.revoke(replica, key.id)),
    'rotate without overlap': dies('SUPERSEDED', overlap(0)),
    'finish a rotation': dies('SUPERSEDED', rotation('finish', {}), { prepare: overlap(600) }),
    'shorten a rotation': {
      prepare: overlap(600),
      change: rotation('extend', { overlapSeconds: 60 }),
      seen: (verdict) => Date.parse(verdict.rotation?.validUntil ?? '') < Date.now() + 60_500,
      before: false,
      after: true,
    },
    'revoke by the key itself': dies('REVOKED', byHolder('revoke', { reason: 'compromised' })),
    'rotate by the key itself': dies('SUPERSEDED', byHolder('rotate', { overlapSeconds: 0 })),
    'set a quota': {
      change: patch({ quota: { limit: 7 } }),
      over: { quota: undefined },
      seen: (verdict) => verdict.quota?.limit,
      before: undefined,
      after: 7,
    },
    'cut the quota': {
      change: patch({ quota: { limit: 7 } }),
      over: { quota: { limit: 1_000 } },
      seen: (verdict) => verdict.quota?.limit,
      before: 1_000,
      after: 7,
    },
    'bulk revoke': dies(
      'REVOKED',
      ({ replica }) =>
        cluster.manage(replica, 'POST /v1/keys/revoke', {
          body: { filter: { tag: 'bulk' }, reason: 'retired' },
        }),
      { over: { tags: ['bulk'] } },
    ),
    'disable the consumer': dies(
      'DISABLED',
      ({ replica }) =>
        cluster.manage(replica, 'PATCH /v1/consumers/crowd', {
          body: { enabled: false },
          headers: { 'if-match': '*' },
        }),
      { over: { consumer: 'crowd' } },
    ),
    'take a scope away': dies(
      'INSUFFICIENT_SCOPE',
      patch({ grants: [{ service: 'service-a', scopes: ['reports:read'] }] }),
      { asked: { scopes: ['reports:write'] } },
    ),
    'take the grant away': dies(
      'NOT_FOUND',
      patch({ grants: [{ service: 'elsewhere', scopes: ['a:b'] }] }),
    ),
    'change the addresses': dies('IP_NOT_ALLOWED', patch({ ipAllowlist: ['10.0.0.0/8'] }), {
      asked: { clientIp: '192.0.2.1' },
    }),
    'begin later': dies('NOT_YET_VALID', patch({ notBefore: inSeconds(3_600) })),
    'end sooner': {
      change: patch({ expiresAt: inSeconds(900) }),
      seen: (verdict) => Date.parse(verdict.expiresAt ?? '') < Date.now() + 901_000,
      before: false,
      after: true,
    },
    'lower a limit': {
      change: patch({ rateLimits: [{ name: 'a', limit: 7, windowSeconds: 60 }] }),
      over: { rateLimits: [{ name: 'a', limit: 1_000, windowSeconds: 60 }] },
      seen: (verdict) => verdict.rateLimits?.[0]?.limit,
      before: 1_000,
      after: 7,
    },
    'change the metadata': {
      change: patch({ metadata: { plan: 'small' } }),
      over: { metadata: { plan: 'large' } },
      seen: (verdict) => verdict.metadata?.['plan'],
      before: 'large',
      after: 'small',
    },
  };

  beforeAll(async () => {
    const service = { slug: 'elsewhere', scopes: ['a:b'] };
    await cluster.manage(0, 'POST /v1/services', { body: service });
    await cluster.manage(0, 'POST /v1/consumers', { body: { slug: 'crowd' } });
    // so many keys that their markers do not fit into one command's time
    await cluster.sql(
      `INSERT INTO keys.key (id, name, consumer, environment, created_by)
       SELECT 'key_' || lpad(n::text, 16, '0'), 'one of many', 'crowd', 'live', 'usr_admin' FROM generate_series(1, 1500) n`,
    );
  });

  /** By turn, so that each change is looked at through most doors and of most kinds of key, and all of them together in all ways. */
  const cases = Object.entries(mutators).map(([name, mutator], row) => ({
    ...{ name, mutator },
    turns: REPLICAS.map((replica) => ({
      replica,
      door: DOORS[(row + replica) % (mutator.seen === code ? 4 : 3)]!,
      kind: KINDS[(Math.floor(row / 4) + replica) % KINDS.length]!,
    })),
  }));

  test.each(cases)('$name', async ({ mutator, turns }) => {
    const { change, prepare, asked = {}, seen, before, after, over = {} } = mutator;
    for (const { replica, door, kind } of turns) {
      if ('consumer' in over) await enableCrowd();
      const { key, secret } = await world.issue({ ...kind, ...over });
      await prepare?.({ key, secret, replica });
      await world.warm(secret);
      const views = () =>
        Promise.all(
          REPLICAS.map(async (one) => seen((await world.ask(door, one, secret, asked)).body)),
        );
      const done = door === 'introspect' ? INACTIVE : after;
      expect({ door, kind, views: await views() }).toEqual({ door, kind, views: all(before) });
      const changed = await change({ key, secret, replica });
      // the new state comes from the store only: were it left here, an older one could overtake a newer
      const left = await believed(key.id);
      const first = await views();
      expect({ door, kind, status: changed.status, left, first }).toEqual({
        ...{ door, kind, status: 200, left: [], first: all(done) },
      });
      for (let i = 0; i < 3; i += 1) expect(await views()).toEqual(all(done));
    }
  });

  /** Entries of a key that make it anything before the store is asked. */
  async function believed(id: string): Promise<string[]> {
    const entries = await world.positives(id);
    const [now] = await cluster.sql<{ epoch: string }>('SELECT epoch FROM keys.cache_epoch');
    return entries.filter((entry) => entry.split(':')[1] === now!.epoch);
  }

  test('importing under an id that was just asked for', async () => {
    for (const replica of REPLICAS) {
      const { text } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
      const { keyId: id } = parseKeyText(text)!;
      const item = { item: id, id, hash: sha256(text), consumer: 'service-b', expiresAt: null };
      const answer = (what: string) =>
        until(what, async () => (await world.codes(text)).every((code) => code === what));
      await answer('NOT_FOUND');
      await answeredByNegativeEntry(id, text);
      const imported = await cluster.manage<ImportedKeys>(replica, 'POST /v1/imports', {
        body: {
          ...{ service: 'service-a', source: 'another-keyward', mode: 'dual' },
          scheme: { algorithm: 'sha256', shape: { prefix: 'kw_' } },
          items: [{ ...item, scopes: ['reports:read'] }],
        },
      });
      expect(imported.body.results).toMatchObject([{ status: 'created', keyId: id }]);
      // no entry of any replica that says there is no such key outlives the answer
      expect((await cluster.redis.get(`kw:{${id}}:rec`))?.split(':')[0]).toBe('1');
      await answer('VALID');
    }
  });

  test('moving an import back to the old side', async () => {
    for (const replica of REPLICAS) {
      const { text } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
      const { keyId: id } = parseKeyText(text)!;
      const item = { item: id, id, hash: sha256(text), consumer: 'service-b', expiresAt: null };
      const imported = await cluster.manage<ImportedKeys>(replica, 'POST /v1/imports', {
        body: {
          ...{ service: 'service-a', source: `moving-${replica}`, mode: 'dual' },
          scheme: { algorithm: 'sha256', shape: { prefix: 'kw_' } },
          items: [{ ...item, scopes: ['reports:read'] }],
        },
      });
      expect(imported.body.results).toMatchObject([{ status: 'created' }]);
      const isUpgraded = async () =>
        (
          await cluster.sql('SELECT FROM keys.secret WHERE key_id = $1 AND pepper_version > 0', [
            id,
          ])
        ).length > 0;
      const codes = () => world.codes(text);
      await until('VALID', async () => (await codes()).every((code) => code === 'VALID'));
      await until('upgraded', async () => (await codes()).length > 0 && (await isUpgraded()));
      await world.warm(text);
      const moved = await cluster.manage(replica, `PATCH /v1/imports/${imported.body.import.id}`, {
        body: { mode: 'shadow' },
      });
      expect([moved.status, moved.headers['keyward-propagation']]).toEqual([200, 'confirmed']);
      for (let i = 0; i < 3; i += 1) expect(await codes()).toEqual(all('NOT_FOUND'));
    }
  });

  /** Waits for the entry that says there is no such key, and sees that it ends by itself, soon. */
  async function answeredByNegativeEntry(id: string, text: string): Promise<void> {
    const NONE = -2;
    let leftMs = NONE;
    while (leftMs === NONE) {
      await world.codes(text);
      leftMs = await (await holderOf(id)).pttl(`kw:{${id}}:rec`);
    }
    expect(leftMs).toBeGreaterThanOrEqual(0);
    expect(leftMs).toBeLessThanOrEqual(1_000);
  }

  test('enabling again', async () => {
    const { key, secret } = await world.issue();
    for (const replica of REPLICAS) {
      await world.switch(replica, key.id, 'disable');
      expect(await world.codes(secret)).toEqual(all('DISABLED'));
      await world.switch(replica, key.id, 'enable');
      expect(await world.codes(secret)).toEqual(all('VALID'));
    }
  });

  function inSeconds(seconds: number): string {
    return new Date(Date.now() + seconds * 1_000).toISOString();
  }

  async function enableCrowd(): Promise<void> {
    const headers = { 'if-match': '*' };
    const { status } = await cluster.manage(0, 'PATCH /v1/consumers/crowd', {
      body: { enabled: true },
      headers,
    });
    expect(status).toBe(200);
  }
});

/** A key that ends soon, and is in the cache some time before that, however long that takes. */
async function warmEndingKey(): Promise<{ secret: string; endMs: number }> {
  for (let expiresInSeconds = 2; ; expiresInSeconds *= 2) {
    const { key, secret } = await world.issue({ expiresInSeconds });
    const endMs = Date.parse(key.expiresAt!);
    await world.warm(secret);
    if (Date.now() < endMs - 1_000) return { secret, endMs };
  }
}

test('a key is EXPIRED from the very millisecond of its end, on every replica, with a warm cache', async () => {
  const { secret, endMs } = await warmEndingKey();
  const wrong: string[] = [];
  const seen = { before: 0, after: 0 };
  const ask = async (replica: number, door: Door): Promise<void> => {
    const dead = door === 'introspect' ? INACTIVE : 'EXPIRED';
    while (Date.now() < endMs + 300) {
      const startedMs = Date.now();
      const { body } = await world.ask(door, replica, secret);
      const endedMs = Date.now();
      if (endedMs < endMs) seen.before += 1;
      if (startedMs >= endMs) seen.after += 1;
      const isWrong =
        (endedMs < endMs && body.code !== 'VALID') || (startedMs >= endMs && body.code !== dead);
      const at = `${startedMs - endMs} to ${endedMs - endMs} ms`;
      if (isWrong) wrong.push(`${body.code} by ${door} from ${at}`);
    }
  };
  await Promise.all(DOORS.flatMap((door) => REPLICAS.map((replica) => ask(replica, door))));
  expect(wrong).toEqual([]);
  expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0);
});

describe('a writer of Redis who has not our secret', () => {
  test('makes no key valid: not by inventing, altering or moving an entry', async () => {
    const [good, bad] = [await world.issue(), await world.issue()];
    await world.warm(good.secret);
    await world.warm(bad.secret);
    const [goodEntry, oldEntry] = [
      (await world.positives(good.key.id))[0]!,
      (await world.positives(bad.key.id))[0]!,
    ];
    await world.revoke(0, bad.key.id);
    let badEntry: string | undefined;
    // an answer does not wait for the entry that it leaves behind
    while (badEntry === undefined) {
      await world.codes(bad.secret);
      [badEntry] = await world.positives(bad.key.id);
    }
    const [version, epoch, mac, ...rest] = oldEntry.split(':') as [string, string, string, string];
    const body = rest.join(':');
    const name = `kw:{${bad.key.id}}:rec`;
    const forged = {
      'a newer version': [Number(version) + 1, epoch, mac, body].join(':'),
      'another epoch': [version, Number(epoch) + 1, mac, body].join(':'),
      'a MAC of zeros': [Number(version) + 1, epoch, 'A'.repeat(43), body].join(':'),
      'an altered body': badEntry.replace(/.(.{8})$/, 'x$1'),
      'another state': badEntry.replace(/revoked/, 'active').replace(/"r"/, '"a"'),
      'the entry of another key': goodEntry,
      junk: 'junk',
    };
    for (const [what, entry] of Object.entries(forged)) {
      await (await holderOf(bad.key.id)).set(name, entry);
      await (await holderOf(good.key.id)).set(`kw:{${good.key.id}}:rec`, badEntry);
      const codes = [await world.codes(bad.secret), await world.codes(good.secret)];
      expect([what, codes]).toEqual([what, [all('REVOKED'), all('VALID')]]);
    }
  });
});
