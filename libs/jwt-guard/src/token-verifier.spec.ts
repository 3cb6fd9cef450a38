import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type CryptoKey } from 'jose';
import type { TokenVerifierOptions } from './options.js';
import { createTokenVerifier } from './token-verifier.js';
import { createIssuer, type Issuer } from './testing/issuer.js';

const HOUR_MS = 3_600_000;
const HEADER = { typ: 'at+jwt', kid: 'k1' };
let issuer: Issuer;

beforeEach(async () => {
  issuer = await createIssuer();
});
afterEach(() => issuer.close());

const verifier = (options: Partial<TokenVerifierOptions> = {}) =>
  createTokenVerifier({ ...issuer.options, ...options } as TokenVerifierOptions);
/** One whose clocks both go by the test's. */
const at = (now: () => number) => verifier({ now, monotonicNow: now });

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A token of a good payload under any header, signed as `signer` says. */
async function forge(header: unknown, signer: (input: string) => string, payload?: unknown) {
  const good = (await issuer.token()).split('.')[1]!;
  const input = `${encode(header)}.${payload === undefined ? good : encode(payload)}`;
  return `${input}.${signer(input)}`;
}

/** Those of the tokens that are not refused as they should be. */
async function accepted(
  tokens: Promise<string>[],
  options: Partial<TokenVerifierOptions> = {},
): Promise<string[]> {
  const wrong: string[] = [];
  for (const token of await Promise.all(tokens)) {
    const outcome = await verifier(options)
      .verify(token)
      .catch((error: Error) => error.name);
    if (outcome !== 'TokenError') wrong.push(`${JSON.stringify(outcome)} for ${token}`);
  }
  return wrong;
}

const hmac = (secret: string | Buffer) => (input: string) =>
  createHmac('sha256', secret).update(input).digest('base64url');

test('a good token gives its claims', async () => {
  const claims = await verifier().verify(await issuer.token({ roles: ['admin'], username: 'ada' }));
  expect(claims).toMatchObject({ sub: 'usr_1', roles: ['admin'], username: 'ada' });
});

test('a token without a signature or with no algorithm is refused, however that is spelled', async () => {
  const spellings = ['none', 'None', 'NONE', 'nOnE', '', undefined, null, 7, ['ES256']];
  const forged = spellings.flatMap((alg) => [
    forge({ ...HEADER, alg }, () => ''),
    forge({ ...HEADER, alg }, () => 'AAAA'),
    forge({ ...HEADER, alg }, hmac('x')),
  ]);
  expect(await accepted(forged)).toEqual([]);
});

test('HS256 over the public key, in any spelling of it, or the empty secret is refused', async () => {
  const key = createPublicKey({ key: issuer.jwk as never, format: 'jwk' });
  const pem = key.export({ type: 'spki', format: 'pem' }) as string;
  const der = key.export({ type: 'spki', format: 'der' });
  const secrets = [pem, ` ${pem}`, `\n${pem}`, pem.trim(), der, JSON.stringify(issuer.jwk), ''];
  const forged = secrets.flatMap((secret) =>
    ['k1', '__proto__', 'constructor', ''].map((kid) =>
      forge({ ...HEADER, kid, alg: 'HS256' }, hmac(secret)),
    ),
  );
  expect(await accepted(forged)).toEqual([]);
});

test("an attacker's own key is refused and nothing it names is fetched", async () => {
  let calls = 0;
  const trap = createServer((_request, response) => {
    calls += 1;
    response.end('{}');
  });
  await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(trap.address() as AddressInfo).port}/`;
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const headers = [
    { jwk: await exportJWK(publicKey) },
    { jku: url },
    { x5u: url },
    { x5c: ['MIIB'] },
    { kid: url },
    { kid: '../../etc/passwd' },
    { kid: "' OR 1=1 --" },
    { kid: 'k'.repeat(1_000) },
  ];
  const forged = headers.map((header) => issuer.token({}, header, privateKey));
  expect(await accepted(forged)).toEqual([]);
  expect(calls).toBe(0);
  trap.close();
});

test('a weak RSA key, a key of another kind and an empty ECDSA signature are refused', async () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const rs256 = (input: string) =>
    sign('sha256', Buffer.from(input), privateKey).toString('base64url');
  const zero = () => Buffer.alloc(64).toString('base64url');
  const withRsa = [forge({ ...HEADER, alg: 'RS256' }, rs256)];
  expect(await accepted([...withRsa, forge({ ...HEADER, alg: 'ES256' }, zero)])).toEqual([]);
});

test('times are required, finite and right within 30 s', async () => {
  const now = Math.floor(Date.now() / 1_000);
  const bad = [
    { exp: undefined },
    { exp: now - 31 },
    { exp: String(now + 600) },
    { exp: -1 },
    { exp: null },
    { nbf: now + 45 },
    { nbf: 'soon' },
    { iat: now + 3_600 },
    { iat: undefined },
    { jti: undefined },
    { sub: undefined },
    { sub: '' },
  ];
  expect(await accepted(bad.map((claims) => issuer.token(claims)))).toEqual([]);
  await verifier().verify(await issuer.token({ exp: now - 20, nbf: now + 20 }));
});

test('an expiry of infinity is refused', async () => {
  const payload = Buffer.from((await issuer.token()).split('.')[1]!, 'base64url').toString();
  const endless = payload.replace(/"exp":\d+/, '"exp":1e400');
  const input = `${encode({ ...HEADER, alg: 'ES256' })}.${encode(endless)}`;
  const signature = await globalThis.crypto.subtle.sign(
    { name: 'ECDSA', hash: 'SHA-256' },
    issuer.privateKey as CryptoKey,
    Buffer.from(input),
  );
  const token = `${input}.${Buffer.from(signature).toString('base64url')}`;
  expect(await accepted([Promise.resolve(token)])).toEqual([]);
});

test('issuer and audience must be the very ones', async () => {
  const { name } = issuer;
  const issuers = [undefined, `${name}/`, name.toUpperCase(), [name], 'https://evil.example'];
  const audiences = [undefined, 'service-b', ['login'], 'SERVICE-A', '', { 'service-a': true }];
  expect(await accepted(issuers.map((iss) => issuer.token({ iss })))).toEqual([]);
  expect(await accepted(audiences.map((aud) => issuer.token({ aud })))).toEqual([]);
  await verifier().verify(await issuer.token({ aud: 'service-a' }));
});

test('another kind of token is refused', async () => {
  const kinds = [undefined, 'JWT', 'at+jwt2', 'rt+jwt'];
  expect(await accepted(kinds.map((typ) => issuer.token({}, { typ })))).toEqual([]);
});

test('critical extensions, unencoded payloads, encrypted tokens and oversized ones are refused', async () => {
  const good = await issuer.token();
  const signature = () => good.split('.')[2]!;
  const ready = [`${good}.AAAA.AAAA`, `${good}.`, 'A'.repeat(1_000_000), '', '..', 'a.b'];
  const forged = [
    forge({ ...HEADER, alg: 'ES256', crit: ['x'], x: 1 }, signature),
    forge({ ...HEADER, alg: 'ES256', crit: ['b64'], b64: false }, signature),
    forge({ alg: 'PBES2-HS256+A128KW', p2c: 1e9, zip: 'DEF' }, signature),
    forge('not json', signature),
    forge([], signature),
    ...ready.map((text) => Promise.resolve(text)),
  ];
  expect(await accepted(forged)).toEqual([]);
});

test('a remembered token still ends with its expiry and with its key', async () => {
  let nowMs = Date.now();
  const tokens = at(() => nowMs);
  const token = await issuer.token();
  expect(tokens.recall(token)).toBeNull();
  const claims = await tokens.verify(token);
  nowMs += 629_000;
  await tokens.verify(token);
  expect(tokens.recall(token)).toEqual(claims);
  nowMs += 2_000;
  expect(tokens.recall(token)).toBeNull();
  await expect(tokens.verify(token)).rejects.toMatchObject({ name: 'TokenError' });
  const other = await issuer.token({ exp: Math.floor(nowMs / 1_000) + 600 });
  await tokens.verify(other);
  issuer.publish([{ ...issuer.jwk, kid: 'k2' }]);
  nowMs += 61_000;
  expect(tokens.recall(other)).toBeNull();
  await expect(tokens.verify(other)).rejects.toMatchObject({ name: 'TokenError' });
});

test('a token of a key that the issuer removed is refused after 35 s, in use or idle, known or new', async () => {
  let nowMs = Date.now();
  const [busy, idle] = [at(() => nowMs), at(() => nowMs)];
  const [known, other] = [await issuer.token({ jti: 'known' }), await issuer.token({ jti: 'new' })];
  for (const tokens of [busy, idle]) await tokens.verify(known);
  issuer.publish([{ ...issuer.jwk, kid: 'k2' }]);
  const startMs = nowMs;
  let lastGoodMs = 0;
  for (; nowMs < startMs + 60_000; nowMs += 1_000)
    await busy.verify(known).then(
      () => (lastGoodMs = nowMs - startMs),
      () => undefined,
    );
  expect(lastGoodMs).toBeGreaterThanOrEqual(29_000);
  expect(lastGoodMs).toBeLessThan(35_000);
  for (const token of [known, other]) {
    await expect(busy.verify(token)).rejects.toMatchObject({ name: 'TokenError' });
    await expect(idle.verify(token)).rejects.toMatchObject({ name: 'TokenError' });
  }
});

test('a calendar that is set back makes no keys young again', async () => {
  let [nowMs, monotonicMs] = [Date.now(), 0];
  const tokens = verifier({ now: () => nowMs, monotonicNow: () => monotonicMs });
  const token = await issuer.token();
  await tokens.verify(token);
  issuer.publish([{ ...issuer.jwk, kid: 'k2' }]);
  nowMs -= 20_000;
  monotonicMs += 35_000;
  await expect(tokens.verify(token)).rejects.toMatchObject({ name: 'TokenError' });
});

test('what is recalled of tokens is bounded', async () => {
  const tokens = verifier();
  const all = await Promise.all(Array.from({ length: 257 }, () => issuer.token()));
  for (const token of all) await tokens.verify(token);
  expect(tokens.recall(all[0]!)).toBeNull();
  expect(tokens.recall(all[1]!)).not.toBeNull();
  expect(tokens.recall(`${all[1]!}x`)).toBeNull();
});

test('a flood of unknown kids asks for the keys at most once in 30 s', async () => {
  let nowMs = Date.now();
  const tokens = at(() => nowMs);
  await tokens.verify(await issuer.token());
  nowMs += 31_000;
  const flood = await Promise.all(
    Array.from({ length: 200 }, (_, number) => issuer.token({}, { kid: `k${number + 10}` })),
  );
  const results = await Promise.allSettled(flood.map((token) => tokens.verify(token)));
  expect(results.every((one) => one.status === 'rejected')).toBe(true);
  expect(issuer.fetches).toBe(2);
});

test('unknown kids that come one after the other have the keys read once in 30 s', async () => {
  const startMs = Date.now();
  let nowMs = startMs;
  const tokens = at(() => nowMs);
  await tokens.verify(await issuer.token());
  const refuse = async (kid: string) => {
    const token = await issuer.token({}, { kid });
    await expect(tokens.verify(token)).rejects.toMatchObject({ name: 'TokenError' });
  };
  for (const atMs of [0, 1, 1_000, 15_000, 29_999]) {
    nowMs = startMs + atMs;
    await refuse(`after-${atMs}`);
    expect(issuer.fetches).toBe(1);
  }
  for (const atMs of [30_000, 30_001, 45_000, 59_999]) {
    nowMs = startMs + atMs;
    await refuse(`after-${atMs}`);
    expect(issuer.fetches).toBe(2);
  }
});

test('a key published ahead of its use is taken without a refusal', async () => {
  let nowMs = Date.now();
  const tokens = at(() => nowMs);
  await tokens.verify(await issuer.token());
  const next = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(next.publicKey)), kid: 'k2', alg: 'ES256', use: 'sig' };
  issuer.publish([issuer.jwk, jwk]);
  nowMs += 31_000;
  const fresh = await issuer.token({ jti: 'new' }, { kid: 'k2' }, next.privateKey);
  expect(await tokens.verify(fresh)).toMatchObject({ jti: 'new' });
  expect(await tokens.verify(await issuer.token({ jti: 'old' }))).toMatchObject({ jti: 'old' });
});

test('with the issuer away the last good keys serve for 24 h, and then nobody decides', async () => {
  let nowMs = Date.now();
  const tokens = at(() => nowMs);
  const later = (hours: number) =>
    issuer.token({ exp: Math.floor(nowMs / 1_000) + 600, jti: `${hours}` });
  await tokens.verify(await later(0));
  const answers = [
    (response: ServerResponse) => void response.writeHead(500).end(),
    (response: ServerResponse) => void response.end('<html></html>'),
    (response: ServerResponse) => void response.end('{"keys":[]}'),
    (response: ServerResponse) => void response.end('{"keys":[null,7,{"kid":"k1"}]}'),
    (response: ServerResponse) => void response.destroy(),
  ];
  for (const answer of answers) {
    issuer.answer(answer);
    nowMs += 2 * 60_000;
    const fetches = issuer.fetches;
    await tokens.verify(await later(nowMs));
    await until(() => issuer.fetches > fetches);
    await tokens.verify(await later(nowMs + 1));
    await expect(tokens.verify(await issuer.token({}, { kid: 'unknown' }))).rejects.toMatchObject({
      isUnavailable: true,
    });
  }
  nowMs += 24 * HOUR_MS;
  await expect(tokens.verify(await later(24))).rejects.toMatchObject({ isUnavailable: true });
  issuer.publish([issuer.jwk]);
  nowMs += 1_000;
  await tokens.verify(await later(25));
});

test('the last good keys serve for 24 h to the minute while the issuer is away', async () => {
  const startMs = Date.now();
  let nowMs = startMs;
  const tokens = at(() => nowMs);
  const fresh = () => issuer.token({ exp: Math.floor(nowMs / 1_000) + 600, jti: `${nowMs}` });
  await tokens.verify(await fresh());
  issuer.answer((response) => void response.destroy());
  for (const hours of [1, 12, 23]) {
    nowMs = startMs + hours * HOUR_MS + 59 * 60_000;
    expect(await tokens.verify(await fresh())).toMatchObject({ jti: `${nowMs}` });
  }
  nowMs = startMs + 24 * HOUR_MS + 60_000;
  await expect(tokens.verify(await fresh())).rejects.toMatchObject({ isUnavailable: true });
});

/** Waits for something that goes on in the background. */
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
}
