import type { IssuedKey, Key } from '#contracts';
import { Mutations, type Mutation } from '../changes/mutations.js';
import { foreignText, importerOf, itemOf } from '../migration/testing.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { problemIn, seed, type Seed } from '../testing/seed.js';

let management: ManagementApp;
let world: Seed;
/** What the last mutation said that it touched. */
let touched: Mutation<unknown>['touched'];

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
  const mutations = management.app.get(Mutations);
  const run = mutations.run.bind(mutations);
  mutations.run = (work, extent) =>
    run(async (manager) => {
      const mutation = await work(manager);
      ({ touched } = mutation);
      return mutation;
    }, extent);
});
afterAll(() => management.stop());

const post = (path: string, body?: object) => management.call('post', path, world.admin).send(body);
const patch = (path: string, body: object, ifMatch = '*') =>
  management.call('patch', path, world.admin).set('if-match', ifMatch).send(body);
const act = (action: string, body?: object) => (key: Key) =>
  post(`/v1/keys/${key.id}/${action}`, body);
const actAsHolder = (action: string, body: object) => (_: Key, secret: string) =>
  management.call('post', `/v1/self/${action}`, null).set('x-api-key', secret).send(body);
const change = (body: object) => (key: Key) => patch(`/v1/keys/${key.id}`, body);
const switchConsumer = (enabled: boolean) => (key: Key) =>
  patch(`/v1/consumers/${key.consumer}`, { enabled });

const limit = { name: 'burst', limit: 10, windowSeconds: 1 };
const full = {
  grants: [
    { service: 'service-a', scopes: ['reports:read', 'reports:write'] },
    { service: 'service-x', scopes: ['things:read'] },
  ],
  rateLimits: [limit],
  ipAllowlist: ['10.0.0.0/8', '127.0.0.0/8', '::1'],
};

/** Every way in which the verification of a key changes; `consumer`: the row of the consumer that comes with it. */
const MUTATORS: {
  what: string;
  before?: (key: Key) => PromiseLike<unknown>;
  mutate: (key: Key, secret: string) => PromiseLike<{ status: number }>;
  action: string;
  consumer?: string;
}[] = [
  { what: 'disable', mutate: act('disable'), action: 'key.disabled' },
  { what: 'enable', before: act('disable'), mutate: act('enable'), action: 'key.enabled' },
  { what: 'revoke', mutate: act('revoke', { reason: 'leaked' }), action: 'key.revoked' },
  { what: 'rotate at once', mutate: act('rotate', { overlapSeconds: 0 }), action: 'key.rotated' },
  { what: 'rotate', mutate: act('rotate', { overlapSeconds: 60 }), action: 'key.rotated' },
  {
    what: 'finish a rotation',
    before: act('rotate', { overlapSeconds: 600 }),
    mutate: act('rotation/finish'),
    action: 'key.rotation_finished',
  },
  {
    what: 'shorten a rotation',
    before: act('rotate', { overlapSeconds: 600 }),
    mutate: act('rotation/extend', { overlapSeconds: 60 }),
    action: 'key.rotation_extended',
  },
  {
    what: 'rotate by the key itself',
    mutate: actAsHolder('rotate', { overlapSeconds: 60 }),
    action: 'key.rotated',
  },
  {
    what: 'revoke by the key itself',
    mutate: actAsHolder('revoke', { reason: 'leaked' }),
    action: 'key.revoked',
  },
  { what: 'set a quota', mutate: change({ quota: { limit: 5 } }), action: 'key.updated' },
  {
    what: 'cut the quota',
    before: change({ quota: { limit: 1_000 } }),
    mutate: change({ quota: { limit: 5 } }),
    action: 'key.updated',
  },
  {
    what: 'take the quota away',
    before: change({ quota: { limit: 1_000 } }),
    mutate: change({ quota: null }),
    action: 'key.updated',
  },
  { what: 'shorten the expiry', mutate: change({ expiresInSeconds: 60 }), action: 'key.updated' },
  { what: 'delay the start', mutate: change({ notBefore: inAnHour() }), action: 'key.updated' },
  {
    what: 'remove a scope',
    mutate: change({
      grants: [{ service: 'service-a', scopes: ['reports:read'] }, full.grants[1]],
    }),
    action: 'key.updated',
  },
  { what: 'remove a grant', mutate: change({ grants: [full.grants[0]] }), action: 'key.updated' },
  {
    what: 'lower a limit',
    mutate: change({ rateLimits: [{ ...limit, limit: 1 }] }),
    action: 'key.updated',
  },
  { what: 'change the addresses', mutate: change({ ipAllowlist: ['::1'] }), action: 'key.updated' },
  { what: 'change metadata', mutate: change({ metadata: { a: 1 } }), action: 'key.updated' },
  {
    what: 'disable the consumer',
    mutate: switchConsumer(false),
    action: 'key.consumer_disabled',
    consumer: 'consumer.disabled',
  },
  {
    what: 'enable the consumer',
    before: switchConsumer(false),
    mutate: switchConsumer(true),
    action: 'key.consumer_enabled',
    consumer: 'consumer.enabled',
  },
  {
    what: 'bulk revoke',
    mutate: ({ consumer }) => post('/v1/keys/revoke', { filter: { consumer }, reason: 'policy' }),
    action: 'key.revoked',
  },
];

describe('every change of what a key may do', () => {
  test.each(MUTATORS.map((one, index) => ({ ...one, index })))(
    '$what raises its version, writes its rows and no other, and touches it',
    async ({ before, mutate, action, consumer, index }) => {
      const slug = `holder-${index}`;
      await post('/v1/consumers', { slug });
      const { key, secret } = await world.issue({ consumer: slug, ...full });
      await world.issue();
      await before?.(key);
      const { version } = await read(key.id);
      const head = await world.count('change_log');
      const answer = await mutate(key, secret);
      expect(answer.status).toBe(200);
      const after = await read(key.id);
      expect(after.version).toBe(version + 1);
      expect(touched).toEqual([{ keyId: key.id, version: version + 1 }]);
      const rows = await management.postgres.owner.query<object[]>(
        `SELECT action, target_type, target_id, key_version, services FROM keys.change_log
         WHERE seq > $1 ORDER BY seq`,
        [head],
      );
      const services = ['service-a', 'service-x'];
      expect(rows).toEqual([
        ...(consumer === undefined ? [] : [consumerRow(slug, consumer)]),
        {
          action,
          target_type: 'key',
          target_id: key.id,
          key_version: version + 1,
          services,
        },
      ]);
    },
  );

  test('a newer secret that comes with an import does so too', async () => {
    const importKeys = importerOf(management, world.admin);
    const [old, newer] = [foreignText('old'), foreignText('newer')];
    const id = (await importKeys({ items: [itemOf(old)] })).results[0]!.keyId!;
    const head = await world.count('change_log');
    const supersedes = { until: new Date(Date.now() - 1_000).toISOString() };
    const item = { ...itemOf(newer), item: 'newer', id, supersedes };
    expect(await importKeys({ items: [item] })).toMatchObject({ rotated: 1 });
    expect((await read(id)).version).toBe(2);
    expect(touched).toEqual([{ keyId: id, version: 2 }]);
    const rows = await management.postgres.owner.query<object[]>(
      `SELECT action, target_id, key_version FROM keys.change_log WHERE target_type = 'key' AND seq > $1`,
      [head],
    );
    expect(rows).toEqual([{ action: 'key.rotated', target_id: id, key_version: 2 }]);
  });

  test('what changes nothing writes nothing, and touches the key again', async () => {
    const { key } = await world.issue();
    await act('disable')(key);
    const head = await world.count('change_log');
    expect((await act('disable')(key)).status).toBe(200);
    expect(touched).toEqual([{ keyId: key.id, version: 2 }]);
    expect(await world.count('change_log')).toBe(head);
  });

  function consumerRow(slug: string, action: string) {
    return {
      action,
      target_type: 'consumer',
      target_id: slug,
      key_version: null,
      services: [],
    };
  }
});

describe('at the same time', () => {
  test('50 writers that get in each other’s way all get through', async () => {
    await post('/v1/consumers', { slug: 'busy' });
    const keys = await Promise.all(
      Array.from({ length: 10 }, () => world.issue({ consumer: 'busy' })),
    );
    const write = (n: number) => {
      const { key } = keys[n % 10]!;
      if (n % 5 === 0) return patch('/v1/consumers/busy', { enabled: n % 2 === 0 });
      if (n % 5 === 1) return patch('/v1/services/service-a', { name: `service ${n}` });
      if (n % 5 === 2) return act(n % 2 === 0 ? 'disable' : 'enable')(key);
      if (n % 5 === 3) return change({ name: `name ${n}` })(key);
      return post('/v1/keys/revoke', {
        filter: { consumer: 'busy' },
        reason: 'policy',
        dryRun: n % 2 === 0,
      });
    };
    // as clients do, it is sent again where others held what it needs for longer than a change may take
    const insist = async (n: number): Promise<number> => {
      const { status, headers } = await write(n);
      if (status !== 503) return status;
      expect(headers['retry-after']).toBeDefined();
      return insist(n);
    };
    const statuses = await Promise.all(Array.from({ length: 50 }, (_, n) => insist(n)));
    for (const status of statuses) expect([200, 409]).toContain(status);
    await expectGapless();
  });

  test('a serialization failure or deadlock is tried again and never seen', async () => {
    const { owner } = management.postgres;
    const issued = await Promise.all(Array.from({ length: 50 }, () => world.issue()));
    await owner.query(`
      CREATE SEQUENCE keys.failures; GRANT USAGE ON keys.failures TO keyward_key_service;
      CREATE FUNCTION keys.fail_at_first() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE place bigint := nextval('keys.failures');
      BEGIN
        IF place <= 10 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END IF;
        IF place <= 20 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER fail_at_first BEFORE UPDATE ON keys.key FOR EACH ROW EXECUTE FUNCTION keys.fail_at_first()`);
    const answers = await Promise.all(issued.map(({ key }) => act('disable')(key)));
    const [{ last }] = await owner.query<[{ last: string }]>(
      'SELECT last_value AS last FROM keys.failures',
    );
    await owner.query(
      'DROP TRIGGER fail_at_first ON keys.key; DROP FUNCTION keys.fail_at_first; DROP SEQUENCE keys.failures',
    );
    expect(answers.map((one) => one.status)).toEqual(Array<number>(50).fill(200));
    expect(Number(last)).toBe(70);
    for (const { body } of answers as unknown as { body: IssuedKey }[])
      expect(body.key).toMatchObject({ status: 'disabled', version: 2 });
    await expectGapless();
  });

  test('deadlocks of writers that lock in different orders end in an answer for each', async () => {
    const { owner } = management.postgres;
    const [one, other] = [await world.issue(), await world.issue()].map((issued) => issued.key);
    const runner = owner.createQueryRunner();
    await runner.startTransaction();
    await runner.query('SELECT FROM keys.key WHERE id = $1 FOR UPDATE', [other!.id]);
    const waiting = post('/v1/keys/revoke', {
      filter: { consumer: 'service-b' },
      reason: 'policy',
    }).then((answer) => answer);
    await untilSomeoneWaits();
    await runner.query('SELECT FROM keys.key WHERE id = $1 FOR UPDATE', [one!.id]).then(
      () => runner.commitTransaction(),
      () => runner.rollbackTransaction(),
    );
    await runner.release();
    expect((await waiting).status).toBe(200);
    expect((await read(one!.id)).status).toBe('revoked');
  });

  test('of changes of one version one wins, whatever it is that is changed', async () => {
    await post('/v1/consumers', { slug: 'raced' });
    await post('/v1/services', { slug: 'raced', scopes: [] });
    const { key } = await world.issue();
    for (const path of ['/v1/consumers/raced', '/v1/services/raced', `/v1/keys/${key.id}`]) {
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, n) => patch(path, { name: `name ${n}` }, '"1"')),
      );
      const won = answers.filter((one) => one.status === 200);
      expect(won).toHaveLength(1);
      expect(won[0]!.headers['etag']).toBe('"2"');
      for (const lost of answers.filter((one) => one.status !== 200))
        expect(problemIn(lost)).toEqual({ status: 412, code: 'VERSION_MISMATCH' });
      const { body } = await management.call('get', path, world.admin);
      expect((body as Key).name).toBe((won[0]!.body as Key).name);
    }
  });
});

describe('If-Match', () => {
  test.each(['consumers', 'services'])('is honoured on %s where it is sent', async (list) => {
    await post(`/v1/${list}`, { slug: 'tagged', ...(list === 'services' && { scopes: [] }) });
    const path = `/v1/${list}/tagged`;
    const change = (ifMatch?: string) => {
      const request = management.call('patch', path, world.admin);
      return (ifMatch === undefined ? request : request.set('if-match', ifMatch)).send({
        name: 'x',
      });
    };
    const read = await management.call('get', path, world.admin);
    expect(read.headers['etag']).toBe('"1"');
    for (const stale of ['"2"', '"0", "7"', 'W/"1"'])
      expect(problemIn(await change(stale))).toEqual({ status: 412, code: 'VERSION_MISMATCH' });
    expect(problemIn(await change('1'))).toEqual({ status: 400, code: 'INVALID_HEADER' });
    for (const [ifMatch, tag] of [
      ['"1"', '"2"'],
      ['"9", "2"', '"3"'],
      ['*', '"4"'],
      [undefined, '"5"'],
    ]) {
      const answer = await change(ifMatch);
      expect([answer.status, answer.headers['etag']]).toEqual([200, tag]);
    }
  });

  test('is required on keys', async () => {
    const { key } = await world.issue();
    const answer = await management
      .call('patch', `/v1/keys/${key.id}`, world.admin)
      .send({ name: 'x' });
    expect(problemIn(answer)).toEqual({ status: 428, code: 'IF_MATCH_REQUIRED' });
  });
});

async function read(id: string): Promise<Key> {
  return (await management.call('get', `/v1/keys/${id}`, world.admin)).body as Key;
}

/** Numbers of the change log go from 1 to its head without a gap, and each version of a key has its own row. */
async function expectGapless(): Promise<void> {
  const [row] = await management.postgres.owner.query<object[]>(
    `SELECT max(seq) = count(*) AND max(seq) = (SELECT seq FROM keys.change_head) AS gapless,
       count(*) FILTER (WHERE key_version IS NOT NULL) = count(DISTINCT (target_id, key_version))
         FILTER (WHERE key_version IS NOT NULL) AS distinct FROM keys.change_log`,
  );
  expect(row).toEqual({ gapless: true, distinct: true });
}

async function untilSomeoneWaits(): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const [{ count }] = await management.postgres.owner.query<[{ count: string }]>(
      `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
    );
    if (Number(count) > 0) return;
  }
  throw new Error('Nobody waited');
}

function inAnHour(): string {
  return new Date(Date.now() + 3_600_000).toISOString();
}
