import { randomUUID } from 'node:crypto';
import type { ChangedKey, Key, RotatedKey, RotationStatus, Verdict } from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { problemIn, seed, type Seed } from '../testing/seed.js';
import { Usage } from '../usage/usage.js';

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

const conflict = { status: 409, code: 'CONFLICT' };
const laterBy = (ms: number) => {
  management.material.now = () => now() + ms;
};
const act = (id: string, action: string, body?: object) =>
  management.call('post', `/v1/keys/${id}/${action}`, world.admin).send(body);
const rotated = async (overlapSeconds: number, over = {}) => {
  const { key, secret: old } = await world.issue(over);
  const { body } = await act(key.id, 'rotate', { overlapSeconds });
  return { id: key.id, old, fresh: (body as RotatedKey).secret, rotated: body as RotatedKey };
};
const statusOf = async (id: string) => {
  await management.app.get(Usage).flush();
  await management.app.get(Usage).fold();
  return readStatus(id);
};
/** Nobody folds the journal by itself for now. */
const leaveJournal = () =>
  management.postgres.owner.query(
    `UPDATE keys.usage_fold SET next_at = now() + interval '20 seconds'`,
  );
const readStatus = async (id: string) => {
  const { body } = await management.call('get', `/v1/keys/${id}/rotation`, world.admin);
  return body as RotationStatus;
};
const changesOf = (id: string, action: string) =>
  management.postgres.owner.query<object[]>(
    'SELECT key_version, services, before, after FROM keys.change_log WHERE target_id = $1 AND action = $2',
    [id, action],
  );

describe('the status of a rotation', () => {
  test('is empty for a key that was never rotated', async () => {
    const { key } = await world.issue();
    expect(await statusOf(key.id)).toEqual({ previous: null, safeToRetire: true });
  });

  test('counts uses of the old secret from the rotation on, and no others', async () => {
    const { key, secret: old } = await world.issue();
    for (let n = 0; n < 4; n++) await world.codeOf(old);
    const { body } = await act(key.id, 'rotate', { overlapSeconds: 60 });
    const { secret: fresh, previous } = body as RotatedKey;
    for (let n = 0; n < 3; n++) await world.codeOf(old);
    await world.codeOf(fresh);
    const { previous: seen, safeToRetire } = await statusOf(key.id);
    expect(seen).toEqual({
      validUntil: previous.validUntil,
      lastUsedAt: expect.any(String) as string,
      usesSinceRotation: 3,
    });
    expect(safeToRetire).toBe(false);
  });

  test('says that it is safe after five minutes in which only the new secret was used', async () => {
    const { id, old, fresh } = await rotated(3_600);
    await world.codeOf(old);
    await world.codeOf(fresh);
    expect((await statusOf(id)).safeToRetire).toBe(false);
    laterBy(250_000);
    await world.codeOf(fresh);
    expect((await statusOf(id)).safeToRetire).toBe(false);
    laterBy(370_000);
    expect((await statusOf(id)).safeToRetire).toBe(true);
    await world.codeOf(old);
    expect((await statusOf(id)).safeToRetire).toBe(false);
    expect((await act(id, 'rotation/finish')).status).toBe(200);
    expect((await statusOf(id)).safeToRetire).toBe(true);
  });

  test('does not take silence for a change-over: the old secret was in use and the new one is not', async () => {
    const { key, secret: old } = await world.issue();
    await world.codeOf(old);
    await act(key.id, 'rotate', { overlapSeconds: 86_400 });
    laterBy(4 * 3_600_000);
    expect((await statusOf(key.id)).safeToRetire).toBe(false);
  });

  test('a refused attempt with the old secret says that somebody still has it', async () => {
    const { id, old, fresh } = await rotated(3_600, { ipAllowlist: ['192.0.2.1'] });
    await world.codeOf(fresh);
    laterBy(600_000);
    expect((await statusOf(id)).safeToRetire).toBe(true);
    expect(await world.codeOf(old)).toBe('IP_NOT_ALLOWED');
    const { previous, safeToRetire } = await statusOf(id);
    expect([previous?.usesSinceRotation, previous?.lastUsedAt, safeToRetire]).toEqual([
      0,
      null,
      false,
    ]);
  });

  test('introspection is use: who asks in that way still has the old secret', async () => {
    const { id, old, fresh } = await rotated(3_600);
    const token = await management.issuer.service('service-a', 'keys:verify');
    const introspect = (text: string) =>
      management.call('post', '/v1/introspect', token).type('form').send({ token: text });
    await introspect(fresh);
    laterBy(600_000);
    expect((await statusOf(id)).safeToRetire).toBe(true);
    expect((await introspect(old)).body).toMatchObject({ active: true });
    const { previous, safeToRetire } = await statusOf(id);
    expect([previous?.usesSinceRotation, safeToRetire]).toEqual([1, false]);
    const { body: key } = await management.call('get', `/v1/keys/${id}`, world.admin);
    expect((key as Key).lastUsedAt).toBe(previous!.lastUsedAt);
  });

  test('is never safe while some process has counts that are not written', async () => {
    const { id } = await rotated(3_600);
    laterBy(600_000);
    expect((await statusOf(id)).safeToRetire).toBe(true);
    const silentFor = (seconds: number) =>
      management.postgres.owner.query(
        `INSERT INTO keys.usage_writer VALUES ('00000000-0000-4000-8000-000000000000', 1, now() - make_interval(secs => $1))
         ON CONFLICT (id) DO UPDATE SET counted_to = excluded.counted_to`,
        [seconds],
      );
    await silentFor(61);
    expect((await statusOf(id)).safeToRetire).toBe(false);
    await silentFor(590);
    expect((await statusOf(id)).safeToRetire).toBe(false);
    await silentFor(610);
    expect((await statusOf(id)).safeToRetire).toBe(true);
  });

  test.each([
    ['for long', -61],
    ['from before PostgreSQL’s clock was set back', 3_600],
  ])('is never safe while something %s is not yet among the last uses', async (_what, seconds) => {
    const { id } = await rotated(3_600);
    laterBy(600_000);
    expect((await statusOf(id)).safeToRetire).toBe(true);
    await leaveJournal();
    await management.postgres.owner.query(
      `INSERT INTO keys.usage_journal (at, minutes, services, secrets, superseded, codes, kinds, key_ids, counts, lasts)
       VALUES (now() + $1 * interval '1 second', '{1}', '{service-a}', '{1}', '{f}', '{VALID}', '{1}', '{key_of_another}', '{1}', '{0}')`,
      [seconds],
    );
    expect((await readStatus(id)).safeToRetire).toBe(false);
    expect((await statusOf(id)).safeToRetire).toBe(true);
  });

  test.each([
    ['since the rotation', 120_000, true, 1],
    ['before it', -120_000, false, 0],
  ])(
    'is not safe after a use of the old secret alone %s that a guard reports only now',
    async (_when, atMs, superseded, usesSinceRotation) => {
      const { id } = await rotated(3_600);
      laterBy(900_000);
      expect((await statusOf(id)).safeToRetire).toBe(true);
      await leaveJournal();
      const minute = new Date(now() + atMs).toISOString();
      const use = { keyId: id, code: 'VALID', minute, count: 1, secretNumber: 1, superseded };
      const token = await management.issuer.service('service-a', 'keys:verify');
      const report = management.call('post', '/v1/usage', token);
      const { body } = await report.send({ batchId: randomUUID(), entries: [use] });
      expect(body).toEqual({ accepted: 1, ignored: 0 });
      const previous = { lastUsedAt: null, usesSinceRotation };
      expect(await readStatus(id)).toMatchObject({ previous, safeToRetire: false });
      expect((await statusOf(id)).safeToRetire).toBe(false);
    },
  );
});

test('a key that is to end earlier takes its old secret with it, for good', async () => {
  const { id, old } = await rotated(3_600);
  const patch = async (version: number, expiresInSeconds: number) => {
    const { body } = await management
      .call('patch', `/v1/keys/${id}`, world.admin)
      .set('if-match', `"${version}"`)
      .send({ expiresInSeconds });
    return body as Key;
  };
  const short = await patch(2, 60);
  expect(short.rotation?.previousValidUntil).toBe(short.expiresAt);
  const token = await management.issuer.service('service-a', 'keys:verify');
  const { body } = await management.call('post', '/v1/keys/verify', token).send({ key: old });
  const [next] = await management.postgres.owner.query<{ made: Date }[]>(
    'SELECT created_at AS made FROM keys.secret WHERE key_id = $1 AND number = 2',
    [id],
  );
  expect((body as Verdict).rotation).toEqual({
    superseded: true,
    validUntil: short.expiresAt,
    since: next!.made.toISOString(),
  });
  const long = await patch(3, 7_200);
  expect(long.rotation?.previousValidUntil).toBe(short.expiresAt);
});

describe('finishing a rotation', () => {
  test('ends the old secret at once, also where a clock lags', async () => {
    const { id, old, fresh } = await rotated(3_600);
    const answer = await act(id, 'rotation/finish', { reason: 'all have the new one' });
    expect(answer.status).toBe(200);
    const { key, propagation } = answer.body as ChangedKey;
    expect(answer.headers['etag']).toBe('"3"');
    expect(propagation).toMatchObject({ confirmed: true });
    expect(key).toMatchObject({ version: 3, rotation: { state: 'finished' } });
    laterBy(-3_600_000);
    expect([await world.codeOf(old), await world.codeOf(fresh)]).toEqual(['SUPERSEDED', 'VALID']);
    expect(await changesOf(id, 'key.rotation_finished')).toEqual([
      {
        key_version: 3,
        services: ['service-a'],
        before: { secret: 1, previousValidUntil: expect.any(String) as string },
        after: {
          secret: 2,
          previousValidUntil: key.rotation!.previousValidUntil,
          reason: 'all have the new one',
        },
      },
    ]);
  });

  test('a rotation without overlap ends the old secret where a clock lags, too', async () => {
    const { id, old, fresh } = await rotated(0);
    laterBy(-3_600_000);
    expect([await world.codeOf(old), await world.codeOf(fresh)]).toEqual(['SUPERSEDED', 'VALID']);
    expect((await act(id, 'rotate')).status).toBe(200);
  });

  test('is a conflict where none is under way, or the key is revoked', async () => {
    const { key } = await world.issue();
    expect(problemIn(await act(key.id, 'rotation/finish'))).toEqual(conflict);
    const over = await rotated(60);
    expect((await act(over.id, 'rotation/finish')).status).toBe(200);
    expect(problemIn(await act(over.id, 'rotation/finish'))).toEqual(conflict);
    const revoked = await rotated(60);
    await act(revoked.id, 'revoke', { reason: 'retired' });
    expect(problemIn(await act(revoked.id, 'rotation/finish'))).toEqual(conflict);
    const stale = await rotated(60);
    const answer = await act(stale.id, 'rotation/finish').set('if-match', '"1"');
    expect(problemIn(answer)).toEqual({ status: 412, code: 'VERSION_MISMATCH' });
  });

  test('of many at the same time one wins', async () => {
    const { id } = await rotated(60);
    const answers = await Promise.all(Array.from({ length: 20 }, () => act(id, 'rotation/finish')));
    expect(answers.filter((one) => one.status === 200)).toHaveLength(1);
    expect(answers.filter((one) => one.status === 409)).toHaveLength(19);
    expect(await changesOf(id, 'key.rotation_finished')).toHaveLength(1);
  });
});

describe('extending a rotation', () => {
  const untilOf = (answer: { body: unknown }) =>
    Date.parse((answer.body as ChangedKey).key.rotation!.previousValidUntil);

  test('moves the end, counted from now, there and back', async () => {
    const { id, old } = await rotated(10);
    laterBy(5_000);
    const longer = await act(id, 'rotation/extend', { overlapSeconds: 600 });
    expect(longer.status).toBe(200);
    expect(Math.abs(untilOf(longer) - now() - 605_000)).toBeLessThan(5_000);
    laterBy(60_000);
    expect(await world.codeOf(old)).toBe('VALID');
    await act(id, 'rotation/extend', { overlapSeconds: 1 });
    laterBy(62_000);
    expect(await world.codeOf(old)).toBe('SUPERSEDED');
    expect(problemIn(await act(id, 'rotation/extend', { overlapSeconds: 1 }))).toEqual(conflict);
    expect(await changesOf(id, 'key.rotation_extended')).toMatchObject([
      { key_version: 3, before: { secret: 1 }, after: { secret: 1, reason: null } },
      { key_version: 4 },
    ]);
  });

  test('stays within the policy, all extensions together, and within the life of the key', async () => {
    const policy = { defaultOverlapSeconds: 10, maxOverlapSeconds: 100 };
    await management
      .call('post', '/v1/services', world.admin)
      .send({ slug: 'short', scopes: ['a:b'], policy });
    const grants = [{ service: 'short', scopes: ['a:b'] }];
    const { id } = await rotated(60, { grants });
    const tooLong = { status: 400, code: 'POLICY_VIOLATION', pointers: ['/overlapSeconds'] };
    const extend = (overlapSeconds: number) => act(id, 'rotation/extend', { overlapSeconds });
    expect(problemIn(await extend(101))).toEqual(tooLong);
    const start = now();
    laterBy(50_000);
    expect(untilOf(await extend(100)) - start).toBeLessThanOrEqual(100_000);
    const ending = await rotated(10, { expiresInSeconds: 30 });
    const { body } = await act(ending.id, 'rotation/extend', { overlapSeconds: 600 });
    const { key } = body as ChangedKey;
    expect(key.rotation!.previousValidUntil).toBe(key.expiresAt);
  });

  test.each([{}, { overlapSeconds: 0 }, { overlapSeconds: -1 }, { overlapSeconds: 1.5 }])(
    '%j is refused',
    async (body) => {
      const { id } = await rotated(60);
      expect((await act(id, 'rotation/extend', body)).status).toBe(400);
    },
  );
});
