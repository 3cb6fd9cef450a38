import { randomBytes } from 'node:crypto';
import type { IssuedKey } from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

const pepper = (version: number) => `${version}:${randomBytes(32).toString('base64')}`;

/** A replica that was not given the new pepper yet, and one that writes with it. */
let before: ManagementApp;
let after: ManagementApp;
let world: Seed;

beforeAll(async () => {
  const old = pepper(1);
  before = await startManagement(undefined, { KEY_PEPPERS: old });
  after = await startManagement(undefined, { KEY_PEPPERS: `${old},${pepper(2)}` }, before);
  world = await seed(before);
}, 60_000);

afterAll(async () => {
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

describe('a new pepper', () => {
  it('makes the digests of new keys, and keys of the old one open as before', async () => {
    const old = await world.issue();
    const fresh = await issueAfter();
    expect([await writtenWith(1, old), await writtenWith(2, fresh)]).toEqual([1, 1]);
    for (const { secret } of [old, fresh])
      expect((await verify(after, secret)).body).toMatchObject({ valid: true });
    expect((await verify(before, old.secret)).body).toMatchObject({ valid: true });
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
