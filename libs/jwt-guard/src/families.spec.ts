import { createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import type { PinnedAlgorithm, TokenVerifierOptions } from './options.js';
import { createTokenVerifier } from './token-verifier.js';
import { createIssuer, type Issuer } from './testing/issuer.js';

const FAMILIES = ['ES256', 'RS256', 'EdDSA', 'HS256'] as const;
const KEY_PAIRS = ['ES256', 'RS256', 'EdDSA', 'PS256', 'ES384', 'RS512'] as const;
const HEADER = { typ: 'at+jwt', kid: 'k1' };
const KIDS = ['k1', '__proto__', 'constructor', '', 'unknown'];
let issuer: Issuer;

afterEach(() => issuer.close());

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const hmac =
  (secret: string | Buffer, name = 'sha256') =>
  (input: string) =>
    createHmac(name, secret).update(input).digest('base64url');

/** A token of a good payload under any header, signed as `signer` says. */
async function forge(header: object, signer: (input: string) => string): Promise<string> {
  const input = `${encode(header)}.${(await issuer.token()).split('.')[1]!}`;
  return `${input}.${signer(input)}`;
}

/** Those of the tokens that are not refused for good. */
async function accepted(tokens: (string | Promise<string>)[]): Promise<string[]> {
  const verifier = createTokenVerifier(issuer.options);
  const outcomes = await Promise.all(
    tokens.map(async (token) => {
      const text = await token;
      const outcome = await verifier.verify(text).catch((error: Error) => error.name);
      return outcome === 'TokenError' ? [] : [`${JSON.stringify(outcome)} for ${text}`];
    }),
  );
  return outcomes.flat();
}

/** All that is public about the issuer and could be mistaken for a secret. */
function publicTexts(jwk: JWK): (string | Buffer)[] {
  const key = createPublicKey({ key: jwk as never, format: 'jwk' });
  const pem = key.export({ type: 'spki', format: 'pem' }) as string;
  const der = key.export({ type: 'spki', format: 'der' });
  const members = [jwk.x, jwk.y, jwk.n].filter((one) => one !== undefined);
  const bytes = members.map((one) => Buffer.from(one, 'base64url'));
  const texts = [pem, ` ${pem}`, `\n${pem}`, pem.trim(), pem.replaceAll('\n', '\r\n')];
  return [...texts, der, der.toString('base64'), JSON.stringify(jwk), ...members, ...bytes];
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The other texts whose signature decodes to the same bytes. */
function otherSpellings(token: string): string[] {
  const bytes = Buffer.from(token.split('.')[2]!, 'base64url');
  return Array.from(ALPHABET)
    .map((letter) => token.slice(0, -1) + letter)
    .filter((text) => Buffer.from(text.split('.')[2]!, 'base64url').equals(bytes))
    .concat(`${token}=`, `${token}==`)
    .filter((text) => text !== token);
}

describe.each(FAMILIES)('pinned to %s', (family) => {
  beforeEach(async () => {
    issuer = await createIssuer(family);
  });

  test('its own tokens are taken', async () => {
    const token = await issuer.token({ roles: ['admin'] });
    const verifier = createTokenVerifier(issuer.options);
    expect(await verifier.verify(token)).toMatchObject({ sub: 'usr_1', roles: ['admin'] });
  });

  test('they are in one spelling alone', async () => {
    const others = otherSpellings(await issuer.token());
    expect(others.length).toBeGreaterThan(3);
    expect(await accepted(others)).toEqual([]);
  });

  test('no other algorithm is taken, its key published under the same name or not', async () => {
    const others = KEY_PAIRS.filter((one) => one !== (family as string));
    for (const alg of others) {
      const pair = await generateKeyPair(alg, { extractable: true });
      const token = await issuer.token({}, { alg }, pair.privateKey);
      expect(await accepted([token])).toEqual([]);
      const jwk = { ...(await exportJWK(pair.publicKey)), kid: 'k1', alg };
      issuer.publish([jwk, issuer.jwk]);
      expect(await accepted([token])).toEqual([]);
    }
  });

  test('no token without a signature is taken, however its algorithm is spelled', async () => {
    const spellings = ['none', 'None', 'NONE', 'nOnE', '', undefined, null, 7, [family], {}];
    const otherCase = [family.toLowerCase(), ` ${family}`, `${family}\0`];
    const forged = [...spellings, ...otherCase].flatMap((alg) =>
      ['', 'AAAA', Buffer.alloc(64).toString('base64url')].map((signature) =>
        forge({ ...HEADER, alg }, () => signature),
      ),
    );
    expect(await accepted(forged)).toEqual([]);
  });

  test('no HMAC over what is public, or over nothing, is taken', async () => {
    const pairs = await Promise.all(
      (['ES256', 'RS256', 'EdDSA'] as const).map((alg) =>
        generateKeyPair(alg, { extractable: true }),
      ),
    );
    const jwks = await Promise.all(pairs.map(({ publicKey }) => exportJWK(publicKey)));
    const known = family === 'HS256' ? jwks : [issuer.jwk];
    const secrets = ['', '\0', 'secret', 'k1', issuer.name, ...known.flatMap(publicTexts)];
    const forged = secrets.flatMap((secret) =>
      KIDS.map((kid) => forge({ ...HEADER, kid, alg: 'HS256' }, hmac(secret))),
    );
    expect(await accepted(forged)).toEqual([]);
  });

  test('no empty, constant, cut or padded signature is taken', async () => {
    const good = await issuer.token();
    const [head, payload, signature] = good.split('.') as [string, string, string];
    const bytes = Buffer.from(signature, 'base64url');
    const changed = [
      Buffer.alloc(bytes.length),
      Buffer.alloc(bytes.length, 0xff),
      Buffer.alloc(0),
      bytes.subarray(0, -1),
      bytes.subarray(1),
      Buffer.concat([bytes, Buffer.alloc(1)]),
      Buffer.concat([Buffer.alloc(1), bytes]),
      Buffer.from(bytes).reverse(),
    ].map((one) => `${head}.${payload}.${one.toString('base64url')}`);
    const padded = [`${good}=`, `${good}\n`, ` ${good}`, `${good}.`, `${good}.${signature}`];
    expect(await accepted([...changed, ...padded])).toEqual([]);
  });

  test('no extension that is critical or unencoded, and no encrypted token, is taken', async () => {
    const headers = [
      { crit: ['x'], x: 1 },
      { crit: ['b64'], b64: false },
      { crit: [] },
      { crit: 'exp' },
      { alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2c: 1e9, p2s: 'AAAA', zip: 'DEF' },
      { alg: 'dir', enc: 'A128GCM' },
    ];
    const signature = (await issuer.token()).split('.')[2]!;
    const forged = headers.flatMap((header) => {
      const jws = forge({ ...HEADER, alg: family, ...header }, () => signature);
      return [jws, jws.then((token) => `${token}.AAAA.AAAA`)];
    });
    expect(await accepted([...forged, 'A'.repeat(1_000_000)])).toEqual([]);
  });

  test('b64, which is not critical by itself, changes nothing', async () => {
    const token = await issuer.token({}, { b64: true });
    expect(await createTokenVerifier(issuer.options).verify(token)).toMatchObject({ sub: 'usr_1' });
  });

  test('times and audience are looked at as well', async () => {
    const now = Math.floor(Date.now() / 1_000);
    const wrong = [{ exp: now - 31 }, { exp: undefined }, { nbf: now + 40 }, { aud: ['login'] }];
    const forged = [...wrong, { iss: `${issuer.name}/` }].map((claims) => issuer.token(claims));
    expect(await accepted([...forged, issuer.token({}, { typ: 'JWT' })])).toEqual([]);
  });
});

test('a set of RSA keys under 2048 bits is no set, and nobody decides by it', async () => {
  issuer = await createIssuer('RS256');
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1_024 });
  issuer.publish([{ ...(publicKey.export({ format: 'jwk' }) as JWK), kid: 'k1' }]);
  const token = await forge({ ...HEADER, alg: 'RS256' }, (input) =>
    sign('sha256', Buffer.from(input), privateKey).toString('base64url'),
  );
  await expect(createTokenVerifier(issuer.options).verify(token)).rejects.toMatchObject({
    isUnavailable: true,
  });
});

test('an HS256 secret needs no key set, is used to the last byte and has one length of hash', async () => {
  issuer = await createIssuer('HS256');
  const secret = issuer.privateKey as Buffer;
  const [cut, longer] = [secret.subarray(0, 31), Buffer.concat([secret, Buffer.from('x')])];
  const forged = [cut, longer, randomBytes(32)].map((one) =>
    forge({ ...HEADER, alg: 'HS256' }, hmac(one)),
  );
  const otherHash = ['HS384', 'HS512'].map((alg) =>
    forge({ ...HEADER, alg }, hmac(secret, alg.replace('HS', 'sha'))),
  );
  expect(await accepted([...forged, ...otherHash])).toEqual([]);
  const unnamed = await forge({ typ: 'at+jwt', alg: 'HS256' }, hmac(secret));
  expect(await createTokenVerifier(issuer.options).verify(unnamed)).toMatchObject({ sub: 'usr_1' });
  expect(issuer.fetches).toBe(0);
});

describe('options', () => {
  const good = {
    issuer: 'https://login.example',
    audience: 'a',
    jwksUrl: 'https://login.example/k',
  };
  const shared = { issuer: 'i', audience: 'a', algorithm: 'HS256' };
  const secret = randomBytes(32).toString('base64');
  const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;

  test.each<[string, object, string]>([
    ['an unknown option', { ...good, issuers: [] }, 'issuers'],
    ['no issuer', { ...good, issuer: '' }, 'issuer'],
    ['no audience', { ...good, audience: undefined }, 'audience'],
    ['no address of the keys', { ...good, jwksUrl: undefined }, 'jwksUrl'],
    ['an address of another scheme', { ...good, jwksUrl: 'file:///etc/keys' }, 'jwksUrl'],
    ['an algorithm that is none', { ...good, algorithm: 'none' }, 'ES256, RS256, EdDSA and HS256'],
    ['several algorithms', { ...good, algorithm: ['ES256', 'HS256'] }, 'ES256, RS256'],
    ['a secret beside published keys', { ...good, secret }, 'secret'],
    ['published keys beside a secret', { ...shared, secret, jwksUrl: good.jwksUrl }, 'jwksUrl'],
    ['no secret', shared, 'secret'],
    ['a short secret', { ...shared, secret: 'x'.repeat(31) }, '32 bytes'],
    ['a secret that is not random', { ...shared, secret: 'x'.repeat(64) }, 'random'],
    [
      'a public key as the secret',
      { ...shared, secret: pem.export({ type: 'spki', format: 'pem' }) },
      'not a public key',
    ],
    [
      'a JWK as the secret',
      { ...shared, secret: JSON.stringify(pem.export({ format: 'jwk' })) },
      'not a public key',
    ],
    ['a skew of hours', { ...good, clockSkewSeconds: 3_600 }, 'clockSkewSeconds'],
    ['a clock that is none', { ...good, now: 7 }, 'now'],
    ['another one', { ...good, monotonicNow: 7 }, 'monotonicNow'],
  ])('%s stops the start and is named', (_what, options, named) => {
    expect(() => createTokenVerifier(options as TokenVerifierOptions)).toThrow(named);
  });

  test('no error of options tells the secret', () => {
    const options = { ...shared, secret: 'tops3cret', more: 1 } as unknown as TokenVerifierOptions;
    expect(() => createTokenVerifier(options)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('tops3cret') as string }),
    );
  });

  test('the clock skew is as it was set', async () => {
    issuer = await createIssuer();
    const algorithm: PinnedAlgorithm = 'ES256';
    const exp = Math.floor(Date.now() / 1_000) - 100;
    const token = await issuer.token({ exp });
    const within = (clockSkewSeconds: number) =>
      createTokenVerifier({ ...issuer.options, algorithm, clockSkewSeconds } as never).verify(
        token,
      );
    expect(await within(120)).toMatchObject({ exp });
    await expect(within(60)).rejects.toMatchObject({ name: 'TokenError' });
    await expect(within(0)).rejects.toMatchObject({ name: 'TokenError' });
  });
});
