import { randomBytes } from 'node:crypto';
import { decodeProtectedHeader } from 'jose';
import type { TokenPair } from '#contracts';
import { createLogger } from '#server';
import { createDataSource } from './database.js';
import { loginSecretsOf } from './secrets.js';
import { ADMIN, createLoginLab, type LoginLab, type LoginServer } from './testing/login-server.js';
import { SigningKeys } from './tokens/signing-keys.js';

const MEMBERS = {
  ES256: ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'],
  RS256: ['alg', 'e', 'kid', 'kty', 'n', 'use'],
  EdDSA: ['alg', 'crv', 'kid', 'kty', 'use', 'x'],
};
const FAMILIES = ['ES256', 'RS256', 'EdDSA'] as const;
let lab: LoginLab;

beforeAll(async () => {
  lab = await createLoginLab();
});
afterAll(() => lab.close());

async function tokenOf(login: LoginServer): Promise<string> {
  const { body } = await login.call('POST', '/v1/login', { body: ADMIN });
  return (body as TokenPair).accessToken;
}

async function statusWith(login: LoginServer, token: string): Promise<number> {
  return (await login.call('GET', '/v1/me', { token })).status;
}

async function publishedBy(login: LoginServer): Promise<{ kid: string; alg: string }[]> {
  const { body } = await login.call('GET', '/.well-known/jwks.json');
  return (body as { keys: { kid: string; alg: string }[] }).keys;
}

test.each(FAMILIES)('login in %s publishes the public members of its own keys', async (family) => {
  const login = await lab.start({ JWT_ALGORITHM: family });
  const token = await tokenOf(login);
  expect(await statusWith(login, token)).toBe(200);
  const keys = await publishedBy(login);
  expect(keys).toHaveLength(2);
  for (const key of keys) {
    expect(Object.keys(key).toSorted()).toEqual(MEMBERS[family]);
    expect(key.alg).toBe(family);
  }
  const { alg, kid } = decodeProtectedHeader(token);
  expect(alg).toBe(family);
  expect(keys.map((key) => key.kid)).toContain(kid);
});

test.each(FAMILIES)('a compromised key of %s ends at once, with all its tokens', async (family) => {
  const login = await lab.start({ JWT_ALGORITHM: family });
  const token = await tokenOf(login);
  const before = decodeProtectedHeader(token).kid;
  expect(await statusWith(login, token)).toBe(200);
  const body = { compromised: true };
  const rotated = await login.call('POST', '/v1/signing-keys/rotate', { token, body });
  expect(rotated.status).toBe(200);
  const kids = (await publishedBy(login)).map((key) => key.kid);
  expect(kids).toContain((rotated.body as { kid: string }).kid);
  expect(kids).not.toContain(before);
  // What was published ahead is known everywhere: nobody has to wait for it.
  expect(await statusWith(login, await tokenOf(login))).toBe(200);
  const other = await lab.start({ JWT_ALGORITHM: family });
  expect(await statusWith(other, token)).toBe(401);
});

test('every replica stops publishing and using a compromised key within 10 s, also one that was idle', async () => {
  let nowMs = Date.now();
  const db = createDataSource(lab.url, createLogger('test', 'silent'));
  await db.initialize();
  const sealingKey = loginSecretsOf(
    Buffer.from(lab.variables['LOGIN_SECRET']!, 'base64'),
  ).signingKeys;
  const replica = () => new SigningKeys(db, { algorithm: 'ES256', sealingKey }, () => nowMs);
  const [one, other] = [replica(), replica()];
  await Promise.all([one.start(), other.start()]);
  const { kid } = await other.current();
  const next = await one.rotate(true);
  nowMs += 10_000;
  const { keys } = await other.jwks();
  expect(keys.map((key) => key.kid)).not.toContain(kid);
  expect((await other.current()).kid).toBe(next);
  await db.destroy();
});

test('login with a shared secret publishes nothing, and every replica with the secret takes its tokens', async () => {
  const shared = { JWT_ALGORITHM: 'HS256', JWT_SECRET: randomBytes(32).toString('base64') };
  const [login, replica] = [await lab.start(shared), await lab.start(shared)];
  const token = await tokenOf(login);
  expect(decodeProtectedHeader(token)).toEqual({ alg: 'HS256', typ: 'at+jwt' });
  expect(await publishedBy(login)).toEqual([]);
  expect(await statusWith(replica, token)).toBe(200);
  const stranger = await lab.start({ ...shared, JWT_SECRET: randomBytes(32).toString('base64') });
  expect(await statusWith(stranger, token)).toBe(401);
  const rotated = await login.call('POST', '/v1/signing-keys/rotate', { token });
  expect([rotated.status, (rotated.body as { code: string }).code]).toEqual([409, 'CONFLICT']);
});
