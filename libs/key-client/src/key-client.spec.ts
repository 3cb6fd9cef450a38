import { inspect } from 'node:util';
import { createKeyClient, SecretUnavailable } from './key-client.js';
import type { SecretProvider } from './secret-provider.js';
import { createStubServer, type StubServer } from './testing/stub-server.js';

const refused = { status: 403, body: { code: 'API_KEY_REVOKED' } };
const good = { status: 200, body: { ok: true } };

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
    const response = await createKeyClient({ baseUrl: service.url, secret })('/v1/reports');
    expect([response.status, await response.json()]).toEqual([answer.status, answer.body]);
    expect([service.keys, secret.freshReads]).toEqual([['old'], 0]);
  });

  it('sends a stream once only', async () => {
    const service = await stub(() => refused);
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('old', 'new') });
    const body = new Blob(['{}']).stream();
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    expect((await client('/v1/reports', init)).status).toBe(403);
    expect(service.keys).toEqual(['old']);
  });

  it('takes the key nowhere else: not along a redirect, not to another host', async () => {
    const other = await stub(() => good);
    const service = await stub(() => ({ status: 302, headers: { location: other.url } }));
    const client = createKeyClient({ baseUrl: service.url, secret: secretsInTurn('k1') });
    await expect(client('/v1/reports')).rejects.toMatchObject({ name: 'TypeError' });
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
