import type { IssuedKey, RotatedKey } from '#contracts';
import { canonicalJson } from '#server';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

const MINUTE_MS = 60_000;
let management: ManagementApp;
let world: Seed;
let now: () => number;

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
  ({ now } = management.material);
});
afterAll(() => management.stop());
afterEach(() => {
  management.material.now = now;
});

const post = (path: string, key: string, body: object = {}, token = world.admin) =>
  management.call('post', path, token).set('idempotency-key', key).send(body);
const create = (key: string, over: object = {}, token?: string) =>
  post('/v1/keys', key, { ...keyBody(), ...over }, token);
const laterBy = (ms: number) => {
  management.material.now = () => now() + ms;
};
const reused = { status: 422, code: 'IDEMPOTENCY_KEY_REUSED' };
const isReplay = (answer: { headers: Record<string, string> }) =>
  answer.headers['idempotency-replayed'] === 'true';
const keys = () => world.count('key');

test('the same key and body get the same answer, marked, and one key is made', async () => {
  const before = await keys();
  const first = await create('one');
  const second = await create('one');
  expect([first.status, second.status]).toEqual([201, 201]);
  expect([isReplay(first), isReplay(second)]).toEqual([false, true]);
  expect(second.text).toBe(first.text);
  for (const name of ['location', 'etag', 'cache-control'])
    expect(second.headers[name]).toBe(first.headers[name]);
  expect(await keys()).toBe(before + 1);
  const { key, secret } = first.body as IssuedKey;
  expect(await world.codeOf(secret)).toBe('VALID');
  expect(await world.count('change_log', `target_id = '${key.id}'`)).toBe(1);
});

test('the order of properties makes no difference, anything else does', async () => {
  const { name, consumer, grants } = keyBody();
  const first = await post('/v1/keys', 'order', {
    name,
    consumer,
    grants,
    metadata: { a: 1, b: 2 },
  });
  const same = { metadata: { b: 2, a: 1 }, grants, consumer, name };
  expect((await post('/v1/keys', 'order', same)).text).toBe(first.text);
  const before = await keys();
  for (const over of [{ metadata: { a: 1 } }, { name: 'other' }, { tags: [] }])
    expect(problemIn(await post('/v1/keys', 'order', { ...same, ...over }))).toEqual(reused);
  expect(problemIn(await post('/v1/consumers', 'order', { slug: 'other-route' }))).toEqual(reused);
  expect(await world.count('consumer', `slug = 'other-route'`)).toBe(0);
  expect(await keys()).toBe(before);
});

test('of 20 requests at the same time one does it and the others get its answer', async () => {
  const before = await keys();
  const answers = await Promise.all(Array.from({ length: 20 }, () => create('crowd')));
  expect(new Set(answers.map((one) => one.text)).size).toBe(1);
  expect(answers.map((one) => one.status)).toEqual(Array<number>(20).fill(201));
  expect(answers.filter((one) => !isReplay(one))).toHaveLength(1);
  expect(await keys()).toBe(before + 1);
});

test('a rotation is done once, and its secret given again', async () => {
  const { key } = await world.issue();
  const path = `/v1/keys/${key.id}/rotate`;
  const answers = await Promise.all(Array.from({ length: 20 }, () => post(path, 'rotate')));
  expect(new Set(answers.map((one) => one.text)).size).toBe(1);
  expect(answers.filter((one) => !isReplay(one))).toHaveLength(1);
  const { secret, key: rotated } = answers[0]!.body as RotatedKey;
  expect(answers[0]!.status).toBe(200);
  expect(rotated.version).toBe(2);
  expect(await world.codeOf(secret)).toBe('VALID');
  const other = await world.issue();
  expect(problemIn(await post(`/v1/keys/${other.key.id}/rotate`, 'rotate'))).toEqual(reused);
});

test('services and consumers are made once too', async () => {
  for (const [path, body] of [
    ['/v1/services', { slug: 'twice', scopes: ['a:b'] }],
    ['/v1/consumers', { slug: 'twice' }],
  ] as const) {
    const first = await post(path, `make ${path}`.replaceAll(' ', '-'), body);
    const second = await post(path, `make ${path}`.replaceAll(' ', '-'), body);
    expect([first.status, second.status, isReplay(second)]).toEqual([201, 201, true]);
    expect(second.text).toBe(first.text);
    expect(problemIn(await post(path, 'another', body))).toEqual({
      status: 409,
      code: 'ALREADY_EXISTS',
    });
  }
});

test('after 10 minutes the answer comes without its secret, after 24 hours the key is free', async () => {
  const first = await create('aging');
  const { key, secret } = first.body as IssuedKey;
  laterBy(10 * MINUTE_MS - 1_000);
  expect((await create('aging')).body).toEqual({ key, secret });
  laterBy(10 * MINUTE_MS + 1_000);
  const late = await create('aging');
  expect([late.status, isReplay(late)]).toEqual([201, true]);
  expect(late.body).toEqual({ key });
  laterBy(24 * 60 * MINUTE_MS + 1_000);
  const fresh = await create('aging', { name: 'another day' });
  expect([fresh.status, isReplay(fresh)]).toEqual([201, false]);
  expect((fresh.body as IssuedKey).key.id).not.toBe(key.id);
});

test('what is due is forgotten when keys are used: secrets after 10 minutes, records after 24 hours', async () => {
  await create('due-1');
  await create('due-2');
  const sealed = () => world.count('idempotency', `key LIKE 'due%' AND sealed_secret IS NOT NULL`);
  expect(await sealed()).toBe(2);
  laterBy(11 * MINUTE_MS);
  await create('sweep-1');
  expect(await sealed()).toBe(0);
  expect(await world.count('idempotency', `key LIKE 'due%'`)).toBe(2);
  laterBy(25 * 60 * MINUTE_MS);
  await create('sweep-2');
  expect(await world.count('idempotency', `key LIKE 'due%'`)).toBe(0);
});

test('a key is its principal’s own', async () => {
  const first = await create('shared');
  const other = await management.issuer.person('usr_other');
  const theirs = await create('shared', { name: 'theirs' }, other);
  expect([theirs.status, isReplay(theirs)]).toEqual([201, false]);
  expect((await create('shared')).text).toBe(first.text);
  const service = await management.issuer.service('service-a');
  const through = await management
    .call('post', '/v1/keys', service)
    .set('x-actor-token', world.admin)
    .set('idempotency-key', 'shared')
    .send(keyBody());
  expect([through.status, isReplay(through)]).toEqual([201, false]);
});

test('who may touch less than before does not get the old answer', async () => {
  const things = { grants: [{ service: 'service-x', scopes: ['things:read'] }] };
  const person = await management.issuer.person('usr_demoted');
  expect((await create('demoted', things, person)).status).toBe(201);
  const limited = await management.issuer.person('usr_demoted', { services: ['service-a'] });
  expect(problemIn(await create('demoted', things, limited))).toEqual(reused);
});

test('what was refused is not kept: the same key does it once it can be done', async () => {
  const over = { consumer: 'later' };
  expect(problemIn(await create('retry', over))).toMatchObject({ status: 400 });
  await management.call('post', '/v1/consumers', world.admin).send({ slug: 'later' });
  const answer = await create('retry', over);
  expect([answer.status, isReplay(answer)]).toEqual([201, false]);
});

test.each([
  ['is empty', ''],
  ['holds a space', 'a b'],
  ['holds a letter beyond ASCII', '\u00e9'],
  ['is too long', 'x'.repeat(256)],
])('a key that %s is refused', async (_, key) => {
  const before = await keys();
  expect(problemIn(await create(key))).toEqual({ status: 400, code: 'INVALID_HEADER' });
  expect(await keys()).toBe(before);
});

test('255 characters are a key', async () => {
  expect((await create('~'.repeat(255))).status).toBe(201);
});

test('the database holds no secret that can be read', async () => {
  const { secret } = (await create('sealed')).body as IssuedKey;
  const hex = Buffer.from(secret).toString('hex');
  const base64 = Buffer.from(secret).toString('base64').slice(0, -4);
  const where = [secret, hex, base64].map((form) => `t::text LIKE '%${form}%'`).join(' OR ');
  expect(await world.count('idempotency t', where)).toBe(0);
  expect(await world.count('idempotency t', `key = 'sealed'`)).toBe(1);
});

test('a request that dies before its commit leaves nothing, and its repetition does it once', async () => {
  const { owner } = management.postgres;
  const before = [await keys(), await world.count('idempotency')];
  const runner = owner.createQueryRunner();
  await runner.startTransaction();
  await runner.query('SELECT FROM keys.change_head FOR UPDATE');
  const dying = create('killed').then((answer) => answer);
  const pid = await whoWaits();
  await owner.query('SELECT pg_terminate_backend($1)', [pid]);
  expect(problemIn(await dying)).toEqual({ status: 503, code: 'SERVICE_UNAVAILABLE' });
  await runner.rollbackTransaction();
  await runner.release();
  expect([await keys(), await world.count('idempotency')]).toEqual(before);
  const answer = await create('killed');
  expect([answer.status, isReplay(answer)]).toEqual([201, false]);
  expect([await keys(), await world.count('idempotency')]).toEqual(before.map((n) => n + 1));
});

test('canonical JSON differs exactly where the value does', () => {
  expect(canonicalJson({ b: [1, { d: 1, c: 2 }], a: null })).toBe(
    '{"a":null,"b":[1,{"c":2,"d":1}]}',
  );
  expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
});

async function whoWaits(): Promise<number> {
  for (let tries = 0; tries < 500; tries++) {
    const [waiting] = await management.postgres.owner.query<{ pid: number }[]>(
      `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
    );
    if (waiting) return waiting.pid;
  }
  throw new Error('Nobody waited');
}
