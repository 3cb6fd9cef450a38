import { generateKeyPairSync, generatePrimeSync, randomUUID, type KeyObject } from 'node:crypto';
import { decodeJwt, SignJWT, type JWK } from 'jose';
import { JWT_BEARER, type TokenPair } from '#contracts';
import { createClientAssertion, createServiceToken, TokenUnavailable } from '#key-guard';
import { ADMIN, CLIENT, ISSUER, createLoginLab } from './testing/login-server.js';
import type { LoginLab, LoginServer } from './testing/login-server.js';

const PAIRS = {
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
  RS256: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
};
const FAMILIES = Object.keys(PAIRS) as (keyof typeof PAIRS)[];
let lab: LoginLab;
let login: LoginServer;
let token: string;

beforeAll(async () => {
  lab = await createLoginLab();
  login = await lab.start();
  const { body } = await login.call('POST', '/v1/login', { body: ADMIN });
  token = (body as TokenPair).accessToken;
  for (const alg of FAMILIES) await register(`svc-${alg.toLowerCase()}`, [alg]);
});
afterAll(() => lab.close());

const pemOf = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' }) as string;
const jwkOf = (alg: keyof typeof PAIRS): JWK => ({
  ...(PAIRS[alg].publicKey.export({ format: 'jwk' }) as JWK),
  kid: alg,
});

function register(clientId: string, algs: (keyof typeof PAIRS)[], keys = algs.map(jwkOf)) {
  const body = { clientId, scopes: ['keys:verify'], jwks: { keys } };
  return login.call('POST', '/v1/clients', { token, body });
}

async function tokenWith(
  client_assertion: string,
  more: Record<string, string> = {},
  headers = {},
) {
  const form = { grant_type: 'client_credentials', client_assertion_type: JWT_BEARER };
  const body = new URLSearchParams({ ...form, client_assertion, ...more });
  const answer = await login.call('POST', '/oauth2/token', { body, headers });
  return [answer.status, (answer.body as { error?: string }).error];
}

/** An assertion of svc-es256 with these claims in place of good ones. */
function signed(claims: object = {}, header: object = {}, key: KeyObject = PAIRS.ES256.privateKey) {
  const now = Math.floor(Date.now() / 1_000);
  const who = { iss: 'svc-es256', sub: 'svc-es256', aud: ISSUER, jti: randomUUID() };
  const payload = JSON.parse(JSON.stringify({ ...who, exp: now + 60, ...claims })) as object;
  return new SignJWT({ ...payload })
    .setProtectedHeader({ alg: 'ES256', kid: 'ES256', ...header })
    .sign(key);
}

const REFUSED = [401, 'invalid_client'];

test.each(FAMILIES)('the token source of the guard signs for itself in %s', async (alg) => {
  const clientId = `svc-${alg.toLowerCase()}`;
  const privateKey = pemOf(PAIRS[alg].privateKey);
  const of = { clientId, privateKey, keyId: alg, audience: `${ISSUER}/oauth2/token` };
  const source = createServiceToken({
    tokenUrl: `${login.url}/oauth2/token`,
    clientId,
    clientAssertion: createClientAssertion(of),
    audience: 'key-service',
    scope: 'keys:verify',
  });
  expect(decodeJwt(await source())).toMatchObject({ sub: clientId, scope: 'keys:verify' });
});

test('an assertion works once, of any number at the same time too', async () => {
  const assertion = await signed();
  const answers = await Promise.all(Array.from({ length: 10 }, () => tokenWith(assertion)));
  expect(answers.filter(([status]) => status === 200)).toHaveLength(1);
  expect(await tokenWith(assertion)).toEqual(REFUSED);
  expect((await tokenWith(await signed()))[0]).toBe(200);
});

test('an assertion of somebody else, for somebody else, without an end or with a far one is refused', async () => {
  const now = Math.floor(Date.now() / 1_000);
  const wrong = [
    { iss: 'svc-rs256' },
    { sub: 'svc-rs256' },
    { sub: 'svc-unknown', iss: 'svc-unknown' },
    { sub: 7 },
    { aud: 'https://other.example' },
    { aud: [ISSUER, 'https://other.example'] },
    { aud: undefined },
    { exp: undefined },
    { exp: now - 31 },
    { exp: now + 3_600 },
    { nbf: now + 60 },
    { iat: now + 60 },
    { jti: undefined },
    { jti: 'x'.repeat(129) },
    { jti: 7 },
  ];
  for (const claims of wrong)
    expect({ claims, answer: await tokenWith(await signed(claims)) }).toEqual({
      claims,
      answer: REFUSED,
    });
});

test('a key that is not registered, of another account or under another algorithm is refused', async () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const secret = Buffer.from(JSON.stringify(jwkOf('ES256')));
  const forged = [
    signed({}, {}, other),
    signed({}, { kid: 'none' }),
    signed({}, { alg: 'RS256', kid: 'RS256' }, PAIRS.RS256.privateKey),
    signed({}, { alg: 'RS256' }, PAIRS.RS256.privateKey),
    signed({}, { alg: 'HS256' }, secret as never),
    signed({}, { jwk: jwkOf('ES256') }, other),
    // another spelling of the same signature
    signed().then((good) =>
      good.replace(/.$/, (last) => ({ A: 'B', Q: 'R', g: 'h', w: 'x' })[last]!),
    ),
    Promise.resolve('x.y.z'),
    Promise.resolve(''),
  ];
  for (const one of forged) expect(await tokenWith(await one)).toEqual(REFUSED);
});

test('credentials of two kinds, or of a kind that is not known, are an invalid request', async () => {
  const basic = `Basic ${Buffer.from(`${CLIENT.clientId}:${CLIENT.clientSecret}`).toString('base64')}`;
  const invalid = [400, 'invalid_request'];
  expect(await tokenWith(await signed(), {}, { authorization: basic })).toEqual(invalid);
  expect(await tokenWith(await signed(), { client_secret: 'x' })).toEqual(invalid);
  expect(await tokenWith(await signed(), { client_assertion_type: 'x' })).toEqual(invalid);
  expect(await tokenWith(await signed(), { client_id: 'svc-rs256' })).toEqual(REFUSED);
});

test('with keys registered the secret is dead, and it is the other way round without', async () => {
  const { clientId, clientSecret } = CLIENT;
  const source = () =>
    createServiceToken({
      tokenUrl: `${login.url}/oauth2/token`,
      ...{ clientId, clientSecret, audience: 'key-service', scope: 'keys:verify' },
    })();
  await source();
  const change = (jwks: object | null) =>
    login.call('PATCH', `/v1/clients/${clientId}`, { token, body: { jwks } });
  expect((await change({ keys: [jwkOf('ES256')] })).body).toMatchObject({
    jwks: { keys: [jwkOf('ES256')] },
  });
  await expect(source()).rejects.toThrow(TokenUnavailable);
  const own = { iss: clientId, sub: clientId };
  expect((await tokenWith(await signed(own)))[0]).toBe(200);
  expect((await change(null)).status).toBe(200);
  expect(await tokenWith(await signed(own))).toEqual(REFUSED);
  await source();
});

function behindZeros(key: KeyObject): string {
  const modulus = Buffer.from((key.export({ format: 'jwk' }) as JWK).n!, 'base64url');
  return Buffer.concat([Buffer.alloc(256 - modulus.length), modulus]).toString('base64url');
}

/** All points of Ed25519 whose order is small, in every spelling (Chalkias, Garillot and Nikolaenko 2020, table 2, and the sign bit). */
const SMALL_ORDER = [
  `01${'00'.repeat(31)}`,
  `01${'00'.repeat(30)}80`,
  `ec${'ff'.repeat(30)}7f`,
  `ec${'ff'.repeat(31)}`,
  '00'.repeat(32),
  `${'00'.repeat(31)}80`,
  `ed${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(31)}`,
  `ee${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
].map((hex) => ({ ...jwkOf('EdDSA'), x: Buffer.from(hex, 'hex').toString('base64url') }));

/** RSA keys under which anybody can sign: by their exponent (1, 3, 65,535, 65,536), or as the modulus is even, has a factor 3, is prime. */
function forgeableRsa(): JWK[] {
  const rsa = jwkOf('RS256');
  const n = Buffer.from(rsa.n!, 'base64url');
  const even = Buffer.from(n);
  even[255]! &= 0xfe;
  const third = Buffer.from(`ff${'00'.repeat(254)}ff`, 'hex');
  const prime = Buffer.from(generatePrimeSync(2_048));
  return [
    ...['AQ', 'Aw', 'AP__', 'AQAA'].map((e) => ({ ...rsa, e })),
    ...[even, third, prime].map((one) => ({ ...rsa, n: one.toString('base64url') })),
  ];
}

test('no private, weak, double or unknown key can be registered, nor one under which anybody can sign', async () => {
  const good = jwkOf('ES256');
  const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey;
  const wrong: object[][] = [
    [],
    [{ ...(PAIRS.ES256.privateKey.export({ format: 'jwk' }) as JWK), kid: 'k' }],
    [{ ...(weak.export({ format: 'jwk' }) as JWK), kid: 'k' }],
    [good, good],
    [{ ...good, kid: undefined }],
    [{ ...good, crv: 'P-384' }],
    [{ ...good, alg: 'HS256' }],
    // not on the curve; 1,024 bits behind zeros
    [{ ...good, x: 'A'.repeat(43), y: 'A'.repeat(43) }],
    [{ ...(weak.export({ format: 'jwk' }) as JWK), n: behindZeros(weak), kid: 'k' }],
    ...[...SMALL_ORDER, ...forgeableRsa()].map((key) => [key]),
    [{ kty: 'oct', kid: 'k', k: 'AAAA' }],
  ];
  for (const keys of wrong) {
    const { status } = await register('svc-wrong', [], keys);
    expect({ keys, status }).toEqual({ keys, status: 400 });
  }
  const path = '/v1/clients/svc-es256';
  const body = { jwks: { keys: wrong.at(-2) } };
  expect(
    (await login.call('PATCH', path, { token, body, headers: { 'if-match': '*' } })).status,
  ).toBe(400);
});
