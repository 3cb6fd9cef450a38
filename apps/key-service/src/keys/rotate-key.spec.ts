import type { Key, Problem, RotatedKey } from '#contracts';
import { PATIENCE_MS } from '../../../../test/support/patience.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

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

const rotate = (id: string, body?: object) =>
  management.call('post', `/v1/keys/${id}/rotate`, world.admin).send(body);
const act = (id: string, action: string, body?: object) =>
  management.call('post', `/v1/keys/${id}/${action}`, world.admin).send(body);
const laterBy = (ms: number) => {
  management.material.now = () => now() + ms;
};

test('an overlap of 0 ends the old secret at once', async () => {
  const { key, secret } = await world.issue();
  const answer = await rotate(key.id, { overlapSeconds: 0 });
  const rotated = answer.body as RotatedKey;
  expect(answer.status).toBe(200);
  expect(answer.headers['cache-control']).toBe('no-store');
  const { validUntil } = rotated.previous;
  expect(rotated).toEqual({
    key: {
      ...key,
      hint: { prefix: 'kw', last4: rotated.secret.slice(-4) },
      rotation: { state: 'finished', previousValidUntil: validUntil },
      updatedAt: rotated.key.updatedAt,
      version: 2,
    },
    secret: rotated.secret,
    previous: { validUntil },
  });
  expect(rotated.secret.split('_').slice(0, 3)).toEqual(secret.split('_').slice(0, 3));
  expect(rotated.secret).not.toBe(secret);
  expect(await world.codeOf(secret)).toBe('SUPERSEDED');
  expect(await world.codeOf(rotated.secret)).toBe('VALID');
});

test('a new secret has the prefix that its service uses by now', async () => {
  const grants = [{ service: 'service-x', scopes: ['things:read'] }];
  const { key } = await world.issue({ grants });
  const both = await world.issue({ grants: [...keyBody().grants, ...grants] });
  const patched = await management
    .call('patch', '/v1/services/service-x', world.admin)
    .set('if-match', '*')
    .send({ policy: { keyPrefix: 'fresh' } });
  expect(patched.status).toBe(200);
  const prefixOf = async (id: string) =>
    ((await rotate(id, { overlapSeconds: 0 })).body as RotatedKey).key.hint.prefix;
  expect(await prefixOf(key.id)).toBe('fresh');
  // one of its services uses the old one still
  expect(await prefixOf(both.key.id)).toBe('kw');
});

test('during the overlap both are valid, after it only the new one', async () => {
  const { key, secret } = await world.issue();
  const { body } = await rotate(key.id, { overlapSeconds: 60 });
  const rotated = body as RotatedKey;
  expect(rotated.key.rotation?.state).toBe('overlapping');
  expect([await world.codeOf(secret), await world.codeOf(rotated.secret)]).toEqual([
    'VALID',
    'VALID',
  ]);
  laterBy(60_000);
  expect([await world.codeOf(secret), await world.codeOf(rotated.secret)]).toEqual([
    'SUPERSEDED',
    'VALID',
  ]);
  const read = await management.call('get', `/v1/keys/${key.id}`, world.admin);
  expect((read.body as Key).rotation?.state).toBe('finished');
});

test('without a body the overlap is the policy’s; one above its maximum is refused', async () => {
  const policy = { defaultOverlapSeconds: 10, maxOverlapSeconds: 20 };
  await management
    .call('post', '/v1/services', world.admin)
    .send({ slug: 'short', scopes: ['a:b'], policy });
  const { key } = await world.issue({ grants: [{ service: 'short', scopes: ['a:b'] }] });
  const tooLong = await rotate(key.id, { overlapSeconds: 21 });
  expect(problemIn(tooLong)).toEqual({
    status: 400,
    code: 'POLICY_VIOLATION',
    pointers: ['/overlapSeconds'],
  });
  const answer = await rotate(key.id);
  const { previous, key: rotated } = answer.body as RotatedKey;
  expect(answer.status).toBe(200);
  const overlapMs = Date.parse(previous.validUntil) - Date.parse(rotated.updatedAt);
  expect(Math.abs(overlapMs - 10_000)).toBeLessThan(1_000);
});

test.each([-1, 1.5, '0', null, 9_007_199_254_740_992])(
  'an overlap of %p is refused',
  async (overlapSeconds) => {
    const { key } = await world.issue();
    expect((await rotate(key.id, { overlapSeconds })).status).toBe(400);
  },
);

test('the old secret never outlives the key', async () => {
  const { key, secret } = await world.issue({ expiresInSeconds: 30 });
  const { body } = await rotate(key.id, { overlapSeconds: 3_600 });
  const rotated = body as RotatedKey;
  expect(rotated.previous.validUntil).toBe(key.expiresAt);
  expect(rotated.key.expiresAt).toBe(key.expiresAt);
  laterBy(30_000);
  expect(await world.codeOf(rotated.secret)).toBe('EXPIRED');
  expect(await world.codeOf(secret)).not.toBe('VALID');
});

test('a key that is revoked, expired, disabled or amid a rotation is not rotated', async () => {
  const conflict = { status: 409, code: 'CONFLICT' };
  const overlapping = await world.issue();
  expect((await rotate(overlapping.key.id, { overlapSeconds: 60 })).status).toBe(200);
  expect(problemIn(await rotate(overlapping.key.id, {}))).toEqual(conflict);
  const disabled = await world.issue();
  await act(disabled.key.id, 'disable');
  const refused = await rotate(disabled.key.id, {});
  expect(problemIn(refused)).toEqual(conflict);
  expect((refused.body as Problem).detail).toBe(
    'The key is disabled; enable it, or its consumer, first',
  );
  const revoked = await world.issue();
  await act(revoked.key.id, 'revoke', { reason: 'retired' });
  expect(problemIn(await rotate(revoked.key.id, {}))).toEqual(conflict);
  const expired = await world.issue({ expiresInSeconds: 10 });
  laterBy(10_000);
  expect(problemIn(await rotate(expired.key.id, {}))).toEqual(conflict);
  laterBy(61_000);
  expect((await rotate(overlapping.key.id, {})).status).toBe(200);
});

test('of 50 rotations at the same time one wins', async () => {
  const { key, secret } = await world.issue();
  const answers = await Promise.all(Array.from({ length: 50 }, () => rotate(key.id, {})));
  const won = answers.filter((one) => one.status === 200);
  const lost = answers.filter((one) => one.status !== 200);
  expect(won).toHaveLength(1);
  for (const answer of lost) {
    expect(problemIn(answer)).toEqual({ status: 409, code: 'CONFLICT' });
    // each says what to do next
    expect((answer.body as Problem).detail).toMatch(
      /; (?:read it, and rotate it again unless|rotate after it, or finish that rotation)/,
    );
  }
  expect(await world.count('secret', `key_id = '${key.id}'`)).toBe(2);
  expect(await world.codeOf(secret)).toBe('VALID');
  expect(await world.codeOf((won[0]!.body as RotatedKey).secret)).toBe('VALID');
});

test('a rotation that waited for another one does not end the secret it knew nothing of', async () => {
  const { key } = await world.issue();
  const unlock = await lock(key.id);
  const waiting = [1, 2].map(() => rotate(key.id, { overlapSeconds: 0 }).then((answer) => answer));
  await untilWaiting(2);
  await unlock();
  const answers = await Promise.all(waiting);
  const won = answers.find((one) => one.status === 200)!;
  const lost = answers.find((one) => one !== won)!;
  expect(problemIn(lost)).toEqual({ status: 409, code: 'CONFLICT' });
  expect(await world.codeOf((won.body as RotatedKey).secret)).toBe('VALID');
});

test('a rotation that waited for any other change goes on', async () => {
  const { key } = await world.issue();
  const unlock = await lock(key.id);
  const patched = management
    .call('patch', `/v1/keys/${key.id}`, world.admin)
    .set('if-match', '*')
    .send({ name: 'renamed' })
    .then(({ status }) => status);
  await untilWaiting(1);
  const waiting = rotate(key.id, { overlapSeconds: 0 }).then((answer) => answer);
  await untilWaiting(2);
  await unlock();
  expect(await patched).toBe(200);
  const { status, body } = await waiting;
  expect(status).toBe(200);
  const rotated = body as RotatedKey;
  expect(rotated.key).toMatchObject({ name: 'renamed', version: 3 });
  expect(await world.codeOf(rotated.secret)).toBe('VALID');
});

test('If-Match is honoured', async () => {
  const { key } = await world.issue();
  const stale = await rotate(key.id, {}).set('if-match', '"7"');
  expect(problemIn(stale)).toEqual({ status: 412, code: 'VERSION_MISMATCH' });
  expect((await rotate(key.id, {}).set('if-match', '"1"')).status).toBe(200);
});

test('however often a key is rotated it has two secrets at most', async () => {
  const { key, secret } = await world.issue();
  for (let n = 0; n < 5; n++)
    expect((await rotate(key.id, { overlapSeconds: 0 })).status).toBe(200);
  expect(await world.count('secret', `key_id = '${key.id}'`)).toBe(2);
  expect(await world.codeOf(secret)).toBe('NOT_FOUND');
});

/** Keeps everybody from changing a key, until what it returns is called. */
async function lock(id: string): Promise<() => Promise<void>> {
  const runner = management.postgres.owner.createQueryRunner();
  await runner.startTransaction();
  await runner.query('SELECT FROM keys.key WHERE id = $1 FOR UPDATE', [id]);
  return async () => {
    await runner.commitTransaction();
    await runner.release();
  };
}

/** They get the row in the order in which they came. */
async function untilWaiting(many: number): Promise<void> {
  for (const endMs = performance.now() + PATIENCE_MS; performance.now() < endMs;) {
    const [{ count }] = await management.postgres.owner.query<[{ count: string }]>(
      `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
    );
    if (Number(count) >= many) return;
  }
  throw new Error(`Never ${many} waited`);
}
