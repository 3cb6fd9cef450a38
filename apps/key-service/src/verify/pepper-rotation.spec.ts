import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import type { ImportMode, IssuedKey, Key, PepperReport } from '#contracts';
import { makeKeyText } from '#key-core';
import { foreignText, importerOf, itemOf } from '../migration/testing.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

const pepper = (version: number) => `${version}:${randomBytes(32).toString('base64')}`;

/** A replica that was not given the new pepper yet, one that writes with it, and one that the old one was taken from. */
let before: ManagementApp;
let after: ManagementApp;
let without: ManagementApp;
let world: Seed;
/** What the latter warned of. */
const warnings: { keyId?: string; msg: string }[] = [];
/** What the last one wrote to its log as errors. */
const errors: object[] = [];

beforeAll(async () => {
  const old = pepper(1);
  const write = (line: string) => warnings.push(JSON.parse(line) as (typeof warnings)[0]);
  const log = pino({ level: 'warn' }, { write });
  before = await startManagement(undefined, { KEY_PEPPERS: old });
  const fresh = pepper(2);
  after = await startManagement(undefined, { KEY_PEPPERS: `${old},${fresh}` }, before, log);
  const errorLog = pino(
    { level: 'error' },
    { write: (line) => errors.push(JSON.parse(line) as object) },
  );
  without = await startManagement(undefined, { KEY_PEPPERS: fresh }, before, errorLog);
  world = await seed(before);
});

afterAll(async () => {
  await without?.stop();
  await after?.stop();
  await before?.stop();
});

const issueAfter = async () =>
  (await after.call('post', '/v1/keys', world.admin).send(keyBody())).body as IssuedKey;
const verify = async (app: ManagementApp, key: string) => {
  const token = await app.issuer.service('service-a', 'keys:verify');
  return app.call('post', '/v1/keys/verify', token).send({ key });
};
const writtenWith = (version: number, { key }: IssuedKey) =>
  world.count('secret', `key_id = '${key.id}' AND pepper_version = ${version}`);

const pepperOf = async ({ key }: { key: Pick<Key, 'id'> }): Promise<number> => {
  const text = 'SELECT pepper_version FROM keys.secret WHERE key_id = $1';
  const [row] = await after.postgres.owner.query<{ pepper_version: number }[]>(text, [key.id]);
  return row!.pepper_version;
};
const upgradesOf = ({ key }: IssuedKey) =>
  world.count('change_log', `target_id = '${key.id}' AND action = 'key.hash_upgraded'`);

describe('a key of an earlier pepper', () => {
  it('gets a digest of the newest one by its use, once, behind the answer, and goes on', async () => {
    const issued = await world.issue();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => verify(after, issued.secret)),
    );
    for (const { body } of answers) expect(body).toMatchObject({ valid: true });
    while ((await pepperOf(issued)) === 1) await verify(after, issued.secret);
    expect([await pepperOf(issued), await upgradesOf(issued)]).toEqual([2, 1]);
    expect((await verify(after, issued.secret)).body).toMatchObject({
      valid: true,
      decision: { version: 2 },
    });
    expect((await verify(before, issued.secret)).status).toBe(503);
  });

  it('is left alone by dry runs, by refusals, and by who writes with the earlier one', async () => {
    const [dry, refused, used] = [await world.issue(), await world.issue(), await world.issue()];
    const token = await after.issuer.service('service-a', 'keys:verify');
    const ask = (body: object) => after.call('post', '/v1/keys/verify', token).send(body);
    await ask({ key: dry.secret, dryRun: true });
    await ask({ key: refused.secret, scopes: ['reports:delete'] });
    await verify(before, used.secret);
    const witness = await world.issue();
    while ((await pepperOf(witness)) === 1) await verify(after, witness.secret);
    for (const one of [dry, refused, used]) expect(await pepperOf(one)).toBe(1);
  });

  it('is left alone where it came with an import whose old side alone counts again', async () => {
    const { text, keyId: id } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
    const { import: made } = await importerOf(
      before,
      world.admin,
    )({
      scheme: { algorithm: 'sha256' },
      items: [{ ...itemOf(text), id }],
    });
    expect((await verify(before, text)).body).toMatchObject({ valid: true });
    await before.call('patch', `/v1/imports/${made.id}`, world.admin).send({ mode: 'shadow' });
    const token = await after.issuer.service('service-a', 'keys:verify');
    const modeAfter = async () =>
      ((await after.call('get', '/v1/migration', token)).body as { mode: string | null }).mode;
    while ((await modeAfter()) !== 'shadow');
    for (let i = 0; i < 3; i += 1)
      expect((await verify(after, text)).body).toMatchObject({ code: 'NOT_FOUND' });
    const witness = await world.issue();
    while ((await pepperOf(witness)) === 1) await verify(after, witness.secret);
    expect(await pepperOf({ key: { id } })).toBe(1);
  });

  it('opens although its upgrade fails, which is tried again', async () => {
    const issued = await world.issue();
    const { owner } = after.postgres;
    await owner.query('REVOKE INSERT ON keys.change_log FROM keyward_key_service');
    const hasFailed = () => warnings.some((one) => one.keyId === issued.key.id);
    while (!hasFailed())
      expect((await verify(after, issued.secret)).body).toMatchObject({ valid: true });
    expect((await verify(after, issued.secret)).body).toMatchObject({ valid: true });
    expect(await pepperOf(issued)).toBe(1);
    await owner.query('GRANT INSERT ON keys.change_log TO keyward_key_service');
    while ((await pepperOf(issued)) === 1) await verify(after, issued.secret);
    expect(await upgradesOf(issued)).toBe(1);
  });

  it('is counted, for admins of all services, until none is left', async () => {
    const issued = await world.issue();
    const report = async () =>
      (await after.call('get', '/v1/peppers', world.admin)).body as PepperReport;
    const left = async (version: number) =>
      (await report()).data.find((one) => one.version === version)?.keys ?? 0;
    const [old, fresh] = [await left(1), await left(2)];
    expect(old).toBeGreaterThan(0);
    while ((await pepperOf(issued)) === 1) await verify(after, issued.secret);
    expect([await left(1), await left(2)]).toEqual([old - 1, fresh + 1]);
    expect(await report()).toMatchObject({ current: 2, data: [{ isAtHand: true }, {}] });
    const limited = await after.issuer.person('admin', { services: ['service-a'] });
    expect((await after.call('get', '/v1/peppers', limited)).status).toBe(404);
  });
});

describe('a key that has expired', () => {
  it('is counted on, as a later expiry brings it back; one that is revoked is not', async () => {
    const { key } = await world.issue();
    const left = async () => {
      const { body } = await after.call('get', '/v1/peppers', world.admin);
      return (body as PepperReport).data.find((one) => one.version === 1)!.keys;
    };
    const all = await left();
    await after.postgres.owner.query(
      `UPDATE keys.key SET expires_at = now() - interval '1 second' WHERE id = $1`,
      [key.id],
    );
    expect(await left()).toBe(all);
    await after.call('post', `/v1/keys/${key.id}/revoke`, world.admin).send({ reason: 'retired' });
    expect(await left()).toBe(all - 1);
  });
});

describe('a new pepper', () => {
  it('makes the digests of new keys, and keys of the old one open as before', async () => {
    const old = await world.issue();
    const fresh = await issueAfter();
    expect([await writtenWith(1, old), await writtenWith(2, fresh)]).toEqual([1, 1]);
    expect((await verify(before, old.secret)).body).toMatchObject({ valid: true });
    for (const { secret } of [old, fresh])
      expect((await verify(after, secret)).body).toMatchObject({ valid: true });
  });

  it('that a replica lacks makes it say that it cannot decide, never that there is no such key', async () => {
    const { secret } = await issueAfter();
    expect(problemIn(await verify(before, secret))).toEqual({
      status: 503,
      code: 'VERIFICATION_UNAVAILABLE',
    });
    expect((await verify(after, secret)).body).toMatchObject({ valid: true });
  });

  it('makes the digest of a secret that replaces one of the old pepper; both open in the overlap', async () => {
    const { key, secret: old } = await world.issue();
    const path = `/v1/keys/${key.id}/rotate`;
    const { body } = await after.call('post', path, world.admin).send({ overlapSeconds: 60 });
    const { secret: fresh } = body as IssuedKey;
    expect(await world.count('secret', `key_id = '${key.id}' AND pepper_version = 2`)).toBe(1);
    for (const secret of [old, fresh])
      expect((await verify(after, secret)).body).toMatchObject({ valid: true });
    expect((await verify(before, fresh)).status).toBe(503);
  });
});

describe('an import that was begun with a pepper which a replica lacks', () => {
  const service = 'service-lacking';
  const UNAVAILABLE = { status: 503, code: 'VERIFICATION_UNAVAILABLE' };
  const { text: ours, keyId: id } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
  const [foreign, junk] = [foreignText('lacking'), foreignText('junk')];
  let importId: string;
  let issued: IssuedKey;

  const ask = async (key: string, more: object = {}, app = without) => {
    const token = await app.issuer.service(service, 'keys:verify');
    return app.call('post', '/v1/keys/verify', token).send({ key, ...more });
  };
  const codeOf = async (...asked: Parameters<typeof ask>) =>
    ((await ask(...asked)).body as { code: string }).code;
  const self = (key: string) => without.call('get', '/v1/self', null).set('x-api-key', key);
  const explain = () =>
    without.call('post', `/v1/keys/${id}/explain`, world.admin).send({ service });
  const modeOf = async () => {
    const token = await without.issuer.service(service, 'keys:verify');
    return ((await without.call('get', '/v1/migration', token)).body as { mode: string }).mode;
  };
  const move = async (mode: ImportMode) => {
    await after.call('post', '/v1/imports/move', world.admin).send({ service, mode });
    while ((await modeOf()) !== mode);
  };

  beforeAll(async () => {
    const scopes = ['t:read'];
    await after.call('post', '/v1/services', world.admin).send({ slug: service, scopes });
    const { import: made } = await importerOf(
      before,
      world.admin,
    )({
      ...{ service, scheme: { algorithm: 'sha256' } },
      items: [
        { ...itemOf(ours), item: 'ours', id, scopes },
        { ...itemOf(foreign), scopes },
      ],
    });
    importId = made.id;
    const grants = [{ service, scopes }];
    const body = { ...keyBody(), grants };
    issued = (await after.call('post', '/v1/keys', world.admin).send(body)).body as IssuedKey;
    for (const text of [ours, foreign]) while ((await codeOf(text, {}, after)) !== 'VALID');
    while ((await pepperOf({ key: { id } })) === 1) await ask(ours, {}, after);
  });

  it('says in its log what is to be done', () => {
    expect(errors).toContainEqual(
      expect.objectContaining({
        ...{ importId, service, pepperVersion: 1 },
        msg: expect.stringContaining('add version 1 to KEY_PEPPERS') as string,
      }),
    );
  });

  it('makes it say of what may be a key of it that it cannot decide, and of the others what they are', async () => {
    await move('dual');
    for (const text of [foreign, junk]) {
      expect(problemIn(await ask(text))).toEqual(UNAVAILABLE);
      expect(problemIn(await ask(text, { dryRun: true }))).toEqual(UNAVAILABLE);
      expect(problemIn(await self(text))).toEqual(UNAVAILABLE);
    }
    expect(await codeOf(issued.secret)).toBe('VALID');
    expect((await self(issued.secret)).status).toBe(200);
    // its digest is one of the pepper that is there, and which side counts is told by the mode
    expect(await codeOf(ours)).toBe('VALID');
  });

  it('lets a key of another import of the service open, whatever it may be in this one', async () => {
    await move('dual');
    const text = foreignText('beside');
    const items = [{ ...itemOf(text), scopes: ['t:read'] }];
    await importerOf(after, world.admin)({ service, source: 'beside', items });
    while ((await ask(text)).status === 503);
    expect(await codeOf(text)).toBe('VALID');
    expect((await self(text)).status).toBe(200);
    const [slug, apart, scopes] = ['service-near', foreignText('apart'), ['t:read']];
    await after.call('post', '/v1/services', world.admin).send({ slug, scopes });
    await importerOf(after, world.admin)({ service: slug, items: [{ ...itemOf(apart), scopes }] });
    while ((await self(apart)).status === 503);
    expect((await self(apart)).status).toBe(200);
  });

  it('keeps back its keys while the old side alone counts, and no others', async () => {
    await move('shadow');
    for (let i = 0; i < 3; i += 1) {
      expect(problemIn(await ask(ours))).toEqual(UNAVAILABLE);
      expect(await codeOf(issued.secret)).toBe('VALID');
    }
    expect(problemIn(await self(ours))).toEqual(UNAVAILABLE);
    expect((await self(issued.secret)).status).toBe(200);
    expect(problemIn(await explain())).toEqual(UNAVAILABLE);
    expect(problemIn(await ask(foreign, { dryRun: true }))).toEqual(UNAVAILABLE);
    expect(await codeOf(foreign)).toBe('MALFORMED');
    expect(await codeOf(ours, {}, after)).toBe('NOT_FOUND');
  });
});
