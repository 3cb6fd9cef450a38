import type { IssuedKey, Key, Problem, RevokedKeys } from '#contracts';
import { startRedis, type TestRedis } from '../../../../test/support/redis.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

let redis: TestRedis;
let management: ManagementApp;
let world: Seed;

beforeAll(async () => {
  redis = await startRedis();
  management = await startManagement(redis.url);
  world = await seed(management);
});
afterAll(async () => {
  await management.stop();
  await redis.remove();
});

const revoke = (body: object, token = world.admin) =>
  management.call('post', '/v1/keys/revoke', token).send(body);
const consumer = async (slug: string) => {
  await management.call('post', '/v1/consumers', world.admin).send({ slug });
  return (over: object = {}): Promise<IssuedKey> => world.issue({ consumer: slug, ...over });
};
const read = async (id: string) =>
  (await management.call('get', `/v1/keys/${id}`, world.admin)).body as Key;
const confirmed = { confirmed: true, boundSeconds: 0, ms: expect.any(Number) };
const reason = 'consumer_left';

test('every key of a consumer, and nothing else, in one change each', async () => {
  const issue = await consumer('left');
  const keys = [await issue(), await issue(), await issue()];
  const [first, second, third] = keys.map((one) => one.key);
  await management.call('post', `/v1/keys/${first!.id}/disable`, world.admin);
  await management
    .call('post', `/v1/keys/${third!.id}/revoke`, world.admin)
    .send({ reason: 'leaked' });
  const other = await world.issue();
  for (const { secret } of [keys[1]!, other]) expect(await world.codeOf(secret)).toBe('VALID');
  const filter = { consumer: 'left' };
  const keyIds = [first!.id, second!.id];
  const dry = await revoke({ filter, reason, dryRun: true });
  expect(dry.body).toEqual({ matched: 2, revoked: 0, keyIds, propagation: confirmed });
  expect(await world.codeOf(keys[1]!.secret)).toBe('VALID');
  const answer = await revoke({ filter, reason, comment: 'gone' });
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({ matched: 2, revoked: 2, keyIds, propagation: confirmed });
  const codes = await Promise.all(keys.map((one) => world.codeOf(one.secret)));
  expect(codes).toEqual(['REVOKED', 'REVOKED', 'REVOKED']);
  expect(await world.codeOf(other.secret)).toBe('VALID');
  expect([(await read(first!.id)).version, (await read(second!.id)).version]).toEqual([3, 2]);
  expect((await read(third!.id)).revocationReason).toBe('leaked');
  const rows = await management.postgres.owner.query<object[]>(
    `SELECT action, key_version, services, before, after FROM keys.change_log
     WHERE target_id = ANY($1) AND action = 'key.revoked' ORDER BY seq`,
    [keyIds],
  );
  const after = { state: 'revoked', reason, comment: 'gone' };
  const row = { action: 'key.revoked', services: ['service-a'], after };
  expect(rows).toEqual([
    { ...row, key_version: 3, before: { state: 'disabled' } },
    { ...row, key_version: 2, before: { state: 'active' } },
  ]);
  const again = await revoke({ filter, reason });
  expect(again.body).toEqual({ matched: 0, revoked: 0, keyIds: [], propagation: confirmed });
});

test('all members of the filter have to fit', async () => {
  const issue = await consumer('filtered');
  const things = [{ service: 'service-x', scopes: ['things:read'] }];
  const old = await issue({ tags: ['nightly'], grants: [...keyBody().grants, ...things] });
  const untagged = await issue({ grants: things });
  const elsewhere = await issue({ tags: ['nightly'] });
  const createdBefore = new Date(Date.parse(elsewhere.key.createdAt) + 1).toISOString();
  const late = await issue({ tags: ['nightly'], grants: things });
  const before = Date.parse(late.key.createdAt) < Date.parse(createdBefore) ? [late.key.id] : [];
  const filter = { service: 'service-x', tag: 'nightly', createdBefore, consumer: 'filtered' };
  const { body } = await revoke({ filter, reason });
  expect((body as RevokedKeys).keyIds).toEqual([old.key.id, ...before]);
  expect((await read(untagged.key.id)).status).toBe('active');
  expect((await read(elsewhere.key.id)).status).toBe('active');
});

test.each([
  [{}],
  [{ filter: {}, reason }],
  [{ filter: { consumer: 'left' } }],
  [{ filter: { consumer: 'left', id: 'key_0000000000000000' }, reason }],
  [{ filter: { consumer: null }, reason }],
  [{ filter: { createdBefore: 'yesterday' }, reason }],
  [{ filter: { consumer: 'left' }, reason, dryRun: 'yes' }],
])('a filter that names nothing or something unknown is refused: %j', async (body) => {
  const live = await world.count('key', `state <> 'revoked'`);
  expect(problemIn(await revoke(body))).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
  expect(await world.count('key', `state <> 'revoked'`)).toBe(live);
});

test.each([
  ['/filter/consumer', { consumer: 'lefft' }, 'There is no consumer lefft'],
  ['/filter/service', { service: 'service-q' }, 'There is no service service-q'],
  [
    '/filter/import',
    { import: `imp_${'0'.repeat(16)}` },
    `There is no import imp_${'0'.repeat(16)}`,
  ],
])(
  'a filter whose %s does not exist is refused, in a dry run too',
  async (pointer, part, detail) => {
    for (const dryRun of [true, false]) {
      const { status, body } = await revoke({ filter: part, reason, dryRun });
      expect([status, (body as Problem).errors]).toEqual([
        400,
        [{ pointer, code: 'INVALID_VALUE', detail }],
      ]);
    }
  },
);

test('an admin of some services revokes only keys that are theirs alone', async () => {
  const issue = await consumer('shared');
  const own = await issue();
  const things = [{ service: 'service-x', scopes: ['things:read'] }];
  const foreign = await issue({ grants: things });
  const both = await issue({ grants: [...keyBody().grants, ...things] });
  const token = await management.issuer.person('usr_limited', { services: ['service-a'] });
  const { body } = await revoke({ filter: { consumer: 'shared' }, reason }, token);
  expect((body as RevokedKeys).keyIds).toEqual([own.key.id]);
  const none = await revoke({ filter: { service: 'service-x' }, reason }, token);
  expect(problemIn(none)).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
  for (const { key } of [foreign, both]) expect((await read(key.id)).status).toBe('active');
  const auditor = await management.issuer.person('usr_auditor', { roles: ['auditor'] });
  const refused = await revoke({ filter: { consumer: 'shared' }, reason }, auditor);
  expect(problemIn(refused)).toEqual({ status: 403, code: 'FORBIDDEN' });
});

test('where one change cannot be written no key is revoked', async () => {
  const issue = await consumer('atomic');
  const { secret } = await issue();
  await issue();
  const { owner } = management.postgres;
  await owner.query('REVOKE INSERT ON keys.change_log FROM keyward_key_service');
  const answer = await revoke({ filter: { consumer: 'atomic' }, reason });
  await owner.query('GRANT INSERT ON keys.change_log TO keyward_key_service');
  expect(problemIn(answer)).toEqual({ status: 503, code: 'SERVICE_UNAVAILABLE' });
  expect(await world.codeOf(secret)).toBe('VALID');
  expect(await world.count('key', `consumer = 'atomic' AND state = 'active'`)).toBe(2);
});

test('10,000 keys go in one call, each with its change row, or none of them where the last fails', async () => {
  const issue = await consumer('many');
  const { secret } = await issue();
  await addKeys('many', 9_999);
  expect(await world.codeOf(secret)).toBe('VALID');
  const changes = await world.count('change_log');
  const failed = await whileLastFails('many', () =>
    revoke({ filter: { consumer: 'many' }, reason }),
  );
  expect(problemIn(failed)).toEqual({ status: 503, code: 'SERVICE_UNAVAILABLE' });
  expect(await world.count('key', `consumer = 'many' AND state = 'active' AND version = 1`)).toBe(
    10_000,
  );
  expect(await world.count('change_log')).toBe(changes);
  expect(await world.codeOf(secret)).toBe('VALID');
  const answer = await revoke({ filter: { consumer: 'many' }, reason });
  const body = answer.body as RevokedKeys;
  expect(answer.status).toBe(200);
  expect(body).toMatchObject({ matched: 10_000, revoked: 10_000, propagation: confirmed });
  expect(body.keyIds).toHaveLength(1_000);
  expect(await world.codeOf(secret)).toBe('REVOKED');
  expect(await world.count('key', `consumer = 'many' AND state = 'revoked'`)).toBe(10_000);
  expect(await world.count('change_log')).toBe(changes + 10_000);
});

test('more than one call does is refused whole', async () => {
  await management.call('post', '/v1/consumers', world.admin).send({ slug: 'too-many' });
  await addKeys('too-many', 20_001);
  const answer = await revoke({ filter: { consumer: 'too-many' }, reason });
  expect(problemIn(answer)).toEqual({ status: 409, code: 'CONFLICT' });
  expect(await world.count('key', `consumer = 'too-many' AND state = 'active'`)).toBe(20_001);
});

/** PostgreSQL has no room for the change of the key that a consumer got last. */
async function whileLastFails<T>(slug: string, work: () => PromiseLike<T>): Promise<T> {
  const { owner } = management.postgres;
  const [last] = await owner.query<[{ id: string }]>(
    'SELECT id FROM keys.key WHERE consumer = $1 ORDER BY seq DESC LIMIT 1',
    [slug],
  );
  await owner.query(
    `CREATE FUNCTION keys.fail() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$;
     CREATE TRIGGER fails BEFORE UPDATE ON keys.key FOR EACH ROW WHEN (OLD.id = '${last.id}')
       EXECUTE FUNCTION keys.fail()`,
  );
  try {
    return await work();
  } finally {
    await owner.query('DROP TRIGGER fails ON keys.key; DROP FUNCTION keys.fail()');
  }
}

/** Adds keys to the database as they would have been issued, but for their secrets. */
async function addKeys(slug: string, count: number): Promise<void> {
  await management.postgres.owner.query(
    `WITH added AS (
       INSERT INTO keys.key (id, name, consumer, environment, created_by)
       SELECT 'key_' || substr(md5($1 || n), 1, 16), 'x', $1, 'live', 'x' FROM generate_series(1, $2::integer) n
       RETURNING id
     ) SELECT count(*) FROM added`,
    [slug, count],
  );
  await management.postgres.owner.query(
    `INSERT INTO keys.key_grant (key_id, service, scopes)
     SELECT id, 'service-a', '{reports:read}' FROM keys.key WHERE consumer = $1 ON CONFLICT DO NOTHING`,
    [slug],
  );
}
