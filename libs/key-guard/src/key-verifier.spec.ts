import { setTimeout as wait } from 'node:timers/promises';
import type { Verdict } from '#contracts';
import { createKeyVerifier, VerificationUnavailable } from './key-verifier.js';
import { TokenUnavailable } from './service-token.js';
import { createStubServer, json, type StubServer } from './testing/stub-server.js';

const valid: Verdict = {
  valid: true,
  code: 'VALID',
  keyId: 'key_3kTMd7QpXvB2nYcF',
  decision: { source: 'store', asOf: '2027-01-31T12:00:00.000Z', ttlSeconds: 60, version: 1 },
};
const question = { key: 'kw_live_x', scopes: ['reports:read'], clientIp: '10.0.0.1' };
const token = () => Promise.resolve('own-token');

describe('createKeyVerifier', () => {
  const stubs: StubServer[] = [];
  const stub = async (port?: number) => {
    const one = await createStubServer(port);
    one.answer((_seen, response) => json(response, 200, valid));
    stubs.push(one);
    return one;
  };
  const gone = async () => {
    const one = await createStubServer();
    await one.close();
    return one.url;
  };
  afterEach(async () => {
    await Promise.all(stubs.splice(0).map((one) => one.close()));
  });

  it('asks as the service, with the key in the body and the trace of the request', async () => {
    const keyService = await stub();
    const verifier = createKeyVerifier({ urls: [`${keyService.url}/`], token, service: 'reports' });
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const from = { id: 'req-1', headers: { traceparent } };
    await expect(verifier.verify({ ...question, from })).resolves.toEqual(valid);
    const { path, headers, body } = keyService.seen[0]!;
    expect(path).toBe('/v1/keys/verify');
    expect(headers).toMatchObject({
      authorization: 'Bearer own-token',
      'x-request-id': 'req-1',
      traceparent,
    });
    expect(JSON.parse(body)).toEqual({ ...question, service: 'reports' });
  });

  it.each([
    ['an error status', 500, valid],
    ['a refusal', 403, { code: 'FORBIDDEN' }],
    ['throttling', 429, { code: 'TOO_MANY_REQUESTS' }],
    ['another success status', 201, valid],
    ['a body that is no verdict', 200, { valid: true }],
    ['a code that it does not know', 200, { ...valid, code: 'PERHAPS' }],
    ['valid with a refusing code', 200, { ...valid, code: 'REVOKED' }],
    ['not valid with the code VALID', 200, { ...valid, valid: false }],
    ['null', 200, null],
  ])('cannot decide on %s', async (_what, status, body) => {
    const keyService = await stub();
    keyService.answer((_seen, response) => json(response, status, body));
    const verifier = createKeyVerifier({ urls: [keyService.url], token, service: 'reports' });
    await expect(verifier.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    expect(keyService.seen).toHaveLength(1);
  });

  it('cannot decide on text that is no JSON, a redirect or a closed connection', async () => {
    const keyService = await stub();
    const other = await stub();
    const verifier = createKeyVerifier({ urls: [keyService.url], token, service: 'reports' });
    keyService.answer((_seen, response) => void response.end('<html>'));
    await expect(verifier.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    keyService.answer((_seen, response) => {
      response.writeHead(307, { location: `${other.url}/v1/keys/verify` }).end();
    });
    await expect(verifier.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    keyService.answer((_seen, response) => void response.destroy());
    await expect(verifier.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    expect(other.seen).toEqual([]);
  });

  it('stops waiting for a key service that hangs, and does not ask a slow one again', async () => {
    const keyService = await stub();
    keyService.answer(() => undefined);
    const verifier = createKeyVerifier({
      urls: [keyService.url],
      token,
      service: 'reports',
      timeoutMs: 50,
    });
    await expect(verifier.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    expect(keyService.seen).toHaveLength(1);
  });

  it('stops waiting for a token that does not come', async () => {
    const keyService = await stub();
    const verifier = createKeyVerifier({
      urls: [keyService.url],
      token: () => new Promise(() => undefined),
      service: 'reports',
      timeoutMs: 20,
    });
    await expect(verifier.verify(question)).rejects.toMatchObject({
      name: 'VerificationUnavailable',
      cause: expect.any(TokenUnavailable) as Error,
    });
    expect(keyService.seen).toEqual([]);
  });

  it('asks the next replica when one is gone, hangs or errs, and stays with the one that answers', async () => {
    const broken = await stub();
    broken.answer((_seen, response) => json(response, 503, {}));
    const hanging = await stub();
    hanging.answer(() => undefined);
    const good = await stub();
    for (const bad of [await gone(), broken.url, hanging.url]) {
      const verifier = createKeyVerifier({
        urls: [bad, good.url],
        token,
        service: 'reports',
        timeoutMs: 200,
      });
      await expect(verifier.verify(question)).resolves.toEqual(valid);
      await expect(verifier.verify(question)).resolves.toEqual(valid);
    }
    expect(good.seen).toHaveLength(6);
    expect([broken.seen.length, hanging.seen.length]).toEqual([1, 1]);
  });

  it('survives a restart of the only key service without a failed answer', async () => {
    const first = await createStubServer();
    first.answer((_seen, response) => json(response, 200, valid));
    const verifier = createKeyVerifier({ urls: [first.url], token, service: 'reports' });
    await expect(verifier.verify(question)).resolves.toEqual(valid);
    await first.close();
    await stub(first.port);
    await expect(verifier.verify(question)).resolves.toEqual(valid);
  });

  it('asks the only key service once more when it closes the connection', async () => {
    const keyService = await stub();
    keyService.answer((_seen, response) =>
      keyService.seen.length === 1 ? void response.destroy() : json(response, 200, valid),
    );
    const verifier = createKeyVerifier({ urls: [keyService.url], token, service: 'reports' });
    await expect(verifier.verify(question)).resolves.toEqual(valid);
    expect(keyService.seen).toHaveLength(2);
  });

  it('gets another token when the key service refuses the one it has, once', async () => {
    const keyService = await stub();
    keyService.answer(({ headers }, response) =>
      headers.authorization === 'Bearer new'
        ? json(response, 200, valid)
        : json(response, 401, { code: 'INVALID_TOKEN' }),
    );
    const verifyWith = (fresh: string) =>
      createKeyVerifier({
        urls: [keyService.url],
        token: (refused) => Promise.resolve(refused === 'old' ? fresh : 'old'),
        service: 'reports',
      }).verify(question);
    await expect(verifyWith('new')).resolves.toEqual(valid);
    await expect(verifyWith('new too')).rejects.toBeInstanceOf(VerificationUnavailable);
    expect(keyService.seen).toHaveLength(4);
  });

  it('gives each of many questions at once its own verdict', async () => {
    const keyService = await stub();
    keyService.answer(({ body }, response) => {
      const { key } = JSON.parse(body) as { key: string };
      void wait(Math.random() * 5).then(() =>
        json(response, 200, { ...valid, consumer: `consumer-${key}` }),
      );
    });
    const verifier = createKeyVerifier({
      urls: [keyService.url],
      token,
      service: 'reports',
      timeoutMs: 10_000,
    });
    const keys = Array.from({ length: 200 }, (_, i) => String(i % 50));
    const verdicts = await Promise.all(keys.map((key) => verifier.verify({ key })));
    expect(verdicts.map((one) => one.consumer)).toEqual(keys.map((key) => `consumer-${key}`));
  });

  it.each([
    ['no URL', { urls: [], token, service: 'reports' }],
    ['a URL that is not http', { urls: ['file:///etc/passwd'], token, service: 'reports' }],
    ['no service', { urls: ['http://127.0.0.1:1'], token }],
    ['no token', { urls: ['http://127.0.0.1:1'], service: 'reports' }],
    ['an unknown option', { urls: ['http://127.0.0.1:1'], token, service: 'reports', cache: true }],
  ])('is not made with %s', (_what, options) => {
    expect(() => createKeyVerifier(options as never)).toThrow('Options of the key verifier');
  });
});
