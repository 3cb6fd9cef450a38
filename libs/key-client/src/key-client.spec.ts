import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { fromEnv } from './from-env.js';
import { fromFile } from './from-file.js';
import { fromFunction } from './from-function.js';
import { createKeyClient, SecretUnavailable } from './key-client.js';
import type { RetryOptions } from './retry-wait.js';
import type { SecretProvider } from './secret-provider.js';
import { createStubServer, type StubServer } from './testing/stub-server.js';

const refused = { status: 403, body: { code: 'API_KEY_REVOKED' } };
const good = { status: 200, body: { ok: true } };
const busy = { body: { code: 'SERVICE_UNAVAILABLE' }, headers: { 'retry-after': '0' } };
const unverified = { code: 'VERIFICATION_UNAVAILABLE' };

/** A provider that holds `secrets[0]`, and the next one from each fresh read on. */
function secretsInTurn(...secrets: string[]): SecretProvider & { freshReads: number } {
  const provider = {
    source: 'test',
    freshReads: 0,
    read: ({ fresh = false } = {}) => {
      if (fresh) provider.freshReads += 1;
      return Promise.resolve(secrets[Math.min(provider.freshReads, secrets.length - 1)] ?? null);
    },
    refreshedAt: () => null,
  };
  return provider;
}

describe('createKeyClient', () => {
  const stubs: StubServer[] = [];
  const stub = async (...args: Parameters<typeof createStubServer>) => {
    const one = await createStubServer(...args);
    stubs.push(one);
    return one;
  };
  afterEach(async () => {
    await Promise.all(stubs.splice(0).map((one) => one.close()));
  });

  it('adds the key, over one that the caller set, and keeps what else was asked', async () => {
    const seen: unknown[] = [];
    const service = await stub((_key, { method, url, headers }) => {
      seen.push([method, url, headers['x-request-id']]);
      return good;
    });
    const client = createKeyClient({ baseUrl: `${service.url}/base`, secret: secretsInTurn('k1') });
    const response = await client('/v1/reports?limit=2', {
      method: 'DELETE',
      headers: { 'x-api-key': 'other', 'x-request-id': 'r1' },
    });
    expect(await response.json()).toEqual({ ok: true });
    expect(seen).toEqual([['DELETE', '/base/v1/reports?limit=2', 'r1']]);
    expect(service.keys).toEqual(['k1']);
  });

  it.each(['API_KEY_REVOKED', 'API_KEY_INVALID', 'API_KEY_EXPIRED', 'API_KEY_SUPERSEDED'])(
    'follows a rotation: refused with %s it reads the secret anew and calls once more',
    async (code) => {
      const service = await stub((key) => (key === 'new' ? good : { status: 403, body: { code } }));
      const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('old', 'new') });
      expect((await client('/v1/reports', { method: 'POST', body: '{}' })).status).toBe(200);
      expect(service.keys).toEqual(['old', 'new']);
    },
  );

  it('does the same where the service saw no key at all', async () => {
    const missing = { status: 401, body: { code: 'API_KEY_MISSING' } };
    const service = await stub((key) => (key === 'new' ? good : missing));
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('old', 'new') });
    expect((await client('/v1/reports')).status).toBe(200);
  });

  it('calls once when the secret has not changed, and gives the refusal whole', async () => {
    const service = await stub(() => refused);
    const secret = secretsInTurn('same');
    const response = await createKeyClient({ baseUrl: service.url, secret })('/v1/reports');
    expect([response.status, await response.json()]).toEqual([403, refused.body]);
    expect([service.keys, secret.freshReads]).toEqual([['same'], 1]);
  });

  it('calls at most twice, even if the secret changes every time', async () => {
    const service = await stub(() => refused);
    const secret = secretsInTurn('a', 'b', 'c', 'd');
    const response = await createKeyClient({ baseUrl: service.url, secret })('/v1/reports');
    expect(response.status).toBe(403);
    expect(service.keys).toEqual(['a', 'b']);
  });

  it.each([
    ['a missing scope', { status: 403, body: { code: 'INSUFFICIENT_SCOPE' } }],
    ['a 403 that is no problem', { status: 403, body: 'no' }],
    ['a limit', { status: 429, body: { code: 'RATE_LIMITED' }, headers: { 'retry-after': '7' } }],
    ['an outage', { status: 503, body: { code: 'VERIFICATION_UNAVAILABLE' } }],
    ['an error', { status: 500, body: { code: 'API_KEY_INVALID' } }],
  ])('keeps its key and does not call again on %s', async (_what, answer) => {
    const service = await stub(() => answer);
    const secret = secretsInTurn('old', 'new');
    const retry = { retries: 0 };
    const client = createKeyClient({ baseUrl: service.url, secret, retry });
    const response = await client('/v1/reports');
    expect([response.status, await response.json()]).toEqual([answer.status, answer.body]);
    expect([service.keys, secret.freshReads]).toEqual([['old'], 0]);
  });

  it('gives the refusal whole when the secret cannot be read anew', async () => {
    const service = await stub(() => refused);
    const secret: SecretProvider = {
      ...secretsInTurn('old'),
      read: ({ fresh = false } = {}) =>
        fresh ? Promise.reject(new Error('away')) : Promise.resolve('old'),
    };
    const response = await createKeyClient({ baseUrl: service.url, secret })('/v1/reports');
    expect([response.status, await response.json()]).toEqual([403, refused.body]);
  });

  it('reads the secret anew behind the scenes when the answer says that the key is going to end', async () => {
    const ending = { ...good, headers: { sunset: new Date(Date.now() - 1_000).toUTCString() } };
    const service = await stub((key) => (key === 'new' ? good : ending));
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('old', 'new') });
    do expect((await client('/v1/reports')).status).toBe(200);
    while (service.keys.at(-1) !== 'new');
    expect(new Set(service.keys)).toEqual(new Set(['old', 'new']));
  });

  it('lets no call fail because a key that is going to end cannot be read anew', async () => {
    const readings: number[] = [];
    const service = await stub(() => ({ ...good, headers: { sunset: new Date(0).toUTCString() } }));
    const secret: SecretProvider = {
      ...secretsInTurn('old'),
      read: ({ fresh = false } = {}) => {
        if (fresh) readings.push(Date.now());
        return fresh ? Promise.reject(new Error('away')) : Promise.resolve('old');
      },
    };
    const client = createKeyClient({ baseUrl: service.url, secret });
    do expect((await client('/v1/reports')).status).toBe(200);
    while (readings.length < 3);
  });

  it.each([429, 503])('sends a stream once only, whatever the answer: %i too', async (status) => {
    const streams: (() => RequestInit['body'])[] = [
      () => new Blob(['{}']).stream(),
      () => Readable.from(['{}']),
    ];
    for (const stream of streams) {
      for (const answer of [refused, { ...busy, status }]) {
        const service = await stub(() => answer);
        const secret = secretsInTurn('old', 'new');
        const client = createKeyClient({ baseUrl: service.url, secret });
        const init = { method: 'PUT', body: stream(), duplex: 'half' } as RequestInit;
        expect((await client('/v1/reports', init)).status).toBe(answer.status);
        expect(service.keys).toEqual(['old']);
      }
    }
  });

  it('reads the secret anew where a stream was refused, and makes the next call with it', async () => {
    const service = await stub((key) => (key === 'new' ? good : refused));
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('old', 'new') });
    const put = () =>
      client(new Request(`${service.url}/v1/reports`, { method: 'PUT', body: 'a text' }));
    expect([(await put()).status, (await put()).status]).toEqual([403, 200]);
    expect(service.keys).toEqual(['old', 'new']);
  });

  it.each([
    ['a limit', 'POST', { ...busy, status: 429 }, {}],
    ['an outage, of what is idempotent', 'PUT', { ...busy, status: 503 }, {}],
    [
      'an outage, of what has its key',
      'POST',
      { ...busy, status: 503 },
      { 'idempotency-key': '1' },
    ],
    ['a key that nobody could verify', 'POST', { ...busy, body: unverified, status: 503 }, {}],
  ])('asks again after %s, with the same body', async (_what, method, answer, headers) => {
    const bodies: string[] = [];
    const service = await stub((_key, request) => {
      request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()));
      return service.keys.length < 3 ? answer : good;
    });
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1') });
    const response = await client('/v1/reports', { method, headers, body: '{"title":"x"}' });
    expect([response.status, service.keys]).toEqual([200, ['k1', 'k1', 'k1']]);
    expect(bodies).toEqual(Array(3).fill('{"title":"x"}'));
  });

  it('does not ask again what may have been done by an outage', async () => {
    const service = await stub(() => ({ ...busy, status: 503 }));
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1') });
    const response = await client('/v1/reports', { method: 'POST', body: '{}' });
    expect([response.status, service.keys]).toEqual([503, ['k1']]);
  });

  it('gives the answer that asks to wait when its tries or its time are used up', async () => {
    const service = await stub(() => ({ ...busy, status: 429 }));
    const make = (retry: RetryOptions) =>
      createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1'), retry });
    expect((await make({})('/')).status).toBe(429);
    expect(service.keys).toHaveLength(3);
    const late = await stub(() => ({ status: 503, headers: { 'retry-after': '31' } }));
    const response = await createKeyClient({ baseUrl: late.url, secret: secretsInTurn('k1') })('/');
    expect([response.status, late.keys]).toEqual([503, ['k1']]);
  });

  it('comes again no sooner than Retry-After says', async () => {
    const cameMs: number[] = [];
    const service = await stub(() => {
      cameMs.push(performance.now());
      return cameMs.length > 1 ? good : { status: 429, headers: { 'retry-after': '1' } };
    });
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1') });
    expect((await client('/')).status).toBe(200);
    // timers of Node may be early by what is below their millisecond
    expect(cameMs[1]! - cameMs[0]!).toBeGreaterThan(998);
  });

  it('waits within its budget in all, not each time', async () => {
    const service = await stub(() => ({ status: 503 }));
    // the waits are half a second, a whole one and so on: the first two are longer than that
    const retry = { retries: 5, budgetMs: 1_400 };
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1'), retry });
    expect((await client('/')).status).toBe(503);
    expect(service.keys.length).toBeLessThan(3);
  });

  it('has the new key before the old one ends, from a provider that holds it for long', async () => {
    const endsMs = Math.ceil((Date.now() + 3_000) / 1_000) * 1_000;
    const sunset = new Date(endsMs).toUTCString();
    let ended = 0;
    const service = await stub((key) => {
      if (key === 'new') return good;
      if (Date.now() < endsMs) return { ...good, headers: { sunset } };
      ended += 1;
      return refused;
    });
    let kept = 'old';
    const secret = fromFunction(() => kept);
    const client = createKeyClient({ baseUrl: service.url, secret });
    await client('/');
    kept = 'new';
    while (service.keys.at(-1) !== 'new') expect((await client('/')).status).toBe(200);
    expect(ended).toBe(0);
  });

  it('stops waiting for another try when the caller has given up, with their reason', async () => {
    const service = await stub(() => ({ status: 429, headers: { 'retry-after': '20' } }));
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1') });
    const giveUp = new AbortController();
    const reason = new Error('not needed any more');
    const call = client('/', { signal: giveUp.signal });
    while (service.keys.length < 1) await new Promise((resolve) => setImmediate(resolve));
    giveUp.abort(reason);
    await expect(call).rejects.toBe(reason);
    await expect(client('/', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(service.keys).toEqual(['k1']);
  });

  it('follows a rotation and waits in one and the same call', async () => {
    const answers = [{ ...busy, status: 429 }, refused, { ...busy, status: 503 }, good];
    const service = await stub(() => answers[service.keys.length - 1]);
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('old', 'new') });
    expect((await client('/')).status).toBe(200);
    expect(service.keys).toEqual(['old', 'old', 'new', 'new']);
  });

  it('reads the secret once for many calls that are refused at the same time', async () => {
    const service = await stub((key) => (key === 'new' ? good : refused));
    const secret = secretsInTurn('old', 'new', 'newer');
    const client = createKeyClient({ baseUrl: service.url, secret });
    const calls = Array.from({ length: 50 }, () => client('/v1/reports'));
    const statuses = (await Promise.all(calls)).map((response) => response.status);
    expect(statuses).toEqual(Array(50).fill(200));
    expect([secret.freshReads, service.keys.length]).toEqual([1, 100]);
  });

  it('takes what fetch takes: an address, a Request, headers of any kind', async () => {
    const seen: unknown[] = [];
    const service = await stub((_key, { method, url, headers }) => {
      seen.push([method, url, headers['x-request-id'], headers['x-api-key']]);
      return good;
    });
    const client = createKeyClient({
      baseUrl: new URL(service.url),
      secret: secretsInTurn('k1'),
    });
    const headers = new Headers({ 'x-request-id': 'r1' });
    await client(new URL('/a', service.url), { headers });
    await client(new Request(`${service.url}/b`, { method: 'POST', body: '{}', headers }));
    expect(seen).toEqual([
      ['GET', '/a', 'r1', 'k1'],
      ['POST', '/b', 'r1', 'k1'],
    ]);
    const elsewhere = new Request('http://127.0.0.1:1/');
    await expect(client(elsewhere)).rejects.toThrow('stay with the service');
  });

  it('follows redirects within the service, as far as is sensible', async () => {
    const service = await stub((_key, { url }) => {
      if (url === '/end') return good;
      const location = url === '/loop' ? '/loop' : '/end';
      return { status: 308, headers: { location } };
    });
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1') });
    expect((await client('/start')).status).toBe(200);
    expect(service.keys).toEqual(['k1', 'k1']);
    await expect(client('/loop')).rejects.toThrow('again and again');
    const post = { method: 'POST', body: '{}' };
    await expect(client('/start', post)).rejects.toThrow('redirects a POST');
    await expect(client('/start', { redirect: 'error' })).rejects.toBeInstanceOf(TypeError);
    expect((await client('/start', { redirect: 'manual' })).status).toBe(308);
  });

  it('takes the key nowhere else: not along a redirect, not to another host', async () => {
    const other = await stub(() => good);
    for (const status of [301, 302, 303, 307, 308]) {
      const service = await stub(() => ({ status, headers: { location: other.url } }));
      const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1') });
      await expect(client('/v1/reports')).rejects.toThrow('another origin');
      const seen = await client('/v1/reports', { redirect: 'manual' });
      expect(seen.status).toBe(status);
    }
    const service = await stub(() => good);
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1') });
    await expect(client(`${other.url}/v1/reports`)).rejects.toThrow('stay with the service');
    await expect(client('\\\\127.0.0.1:1/x')).rejects.toThrow('stay with the service');
    expect(other.keys).toEqual([]);
  });

  it('stops waiting when its own time or the patience of the caller is over', async () => {
    const service = await stub(() => undefined);
    const make = (timeoutMs: number) =>
      createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1'), timeoutMs });
    await expect(make(30)('/')).rejects.toMatchObject({ name: 'TimeoutError' });
    const signal = AbortSignal.timeout(30);
    await expect(make(60_000)('/', { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
    const hanging = { ...secretsInTurn(), read: () => new Promise<never>(() => undefined) };
    const client = createKeyClient({ baseUrl: service.url, secret: hanging, timeoutMs: 30 });
    await expect(client('/')).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it.each([
    [fromEnv('KEY', {}), 'There is no API key to send: the environment variable KEY is not set'],
    [
      fromEnv('KEY', { KEY: 's3cret line' }),
      'The API key in the environment variable KEY holds what no key can',
    ],
    [fromFile('/nowhere/key'), 'There is no API key to send: the file /nowhere/key is not there'],
    [secretsInTurn(), 'There is no API key to send'],
  ])('names the place that has no key to send', async (secret, message) => {
    const client = createKeyClient({ baseUrl: 'http://127.0.0.1:1', secret });
    await expect(client('/')).rejects.toEqual(new SecretUnavailable(message));
  });

  it('says what is wrong with a secret without the secret', async () => {
    const none = createKeyClient({ baseUrl: 'http://127.0.0.1:1', secret: secretsInTurn() });
    await expect(none('/')).rejects.toBeInstanceOf(SecretUnavailable);
    const client = createKeyClient({
      baseUrl: 'http://127.0.0.1:1',
      secret: secretsInTurn('s3cret\nline'),
    });
    const error: unknown = await client('/').catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(SecretUnavailable);
    const sendable = createKeyClient({
      baseUrl: 'http://127.0.0.1:1',
      secret: secretsInTurn('s3cret'),
    });
    const unreachable: unknown = await sendable('/').catch((caught: unknown) => caught);
    for (const shown of [error, unreachable, client])
      expect(inspect(shown, { depth: 9, showHidden: true })).not.toContain('s3cret');
  });
});
