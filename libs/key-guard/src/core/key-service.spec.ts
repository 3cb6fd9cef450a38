import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Verdict } from '#contracts';
import { makeKeyText } from '#key-core';
import { createKeyGuard, type KeyGuardCore } from './key-guard.js';
import type { KeyGuardOptions } from './options.js';
import { TokenUnavailable } from './service-token.js';
import { createStubServer, json, type StubServer } from '../testing/stub-server.js';
import { VerificationUnavailable } from './unavailable.js';

const valid: Verdict = {
  valid: true,
  code: 'VALID',
  keyId: 'key_3kTMd7QpXvB2nYcF',
  secretNumber: 1,
  consumer: 'service-b',
  environment: 'live',
  scopes: ['reports:*'],
  decision: { source: 'store', asOf: '2027-01-31T12:00:00.000Z', ttlSeconds: 60, version: 1 },
};
const question = { key: 'kw_live_x', scopes: ['reports:read'], clientIp: '10.0.0.1' };
const token = () => Promise.resolve('own-token');

describe('what is asked of the key service', () => {
  const guards: KeyGuardCore[] = [];
  const strict = (options: Pick<KeyGuardOptions, 'urls'> & Partial<KeyGuardOptions>) => {
    const guard = createKeyGuard({ token, service: 'reports', mode: 'strict', ...options });
    guards.push(guard);
    return guard;
  };
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
    await Promise.all(guards.splice(0).map((one) => one.close()));
    await Promise.all(stubs.splice(0).map((one) => one.close()));
  });

  it('asks as the service, with the key in the body and the trace of the request', async () => {
    const keyService = await stub();
    const verifier = strict({ urls: [`${keyService.url}/`] });
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
    expect(JSON.parse(body)).toEqual({
      ...question,
      service: 'reports',
      environment: 'live',
    });
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
    const verifier = strict({ urls: [keyService.url] });
    await expect(verifier.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    expect(keyService.seen).toHaveLength(1);
  });

  it('tells an operator why it cannot decide, once for many requests', async () => {
    const keyService = await stub();
    const problem = { code: 'FORBIDDEN', detail: 'A service may ask about keys for itself only' };
    keyService.answer((_seen, response) => json(response, 403, problem));
    const faults: string[] = [];
    const onFault = ({ message }: Error) => void faults.push(message);
    const verifier = strict({ urls: [keyService.url], onFault });
    for (let i = 0; i < 3; i += 1)
      await expect(verifier.verify(question)).rejects.toThrow(VerificationUnavailable);
    expect(faults).toEqual([
      `The key service answered 403 without a verdict: FORBIDDEN, ${problem.detail}`,
    ]);
    const poor = strict({
      urls: [keyService.url],
      onFault,
      token: () => Promise.reject(new TokenUnavailable('login refuses this client')),
    });
    await expect(poor.verify(question)).rejects.toThrow(VerificationUnavailable);
    expect(faults[1]).toBe('login refuses this client');
  });

  it('cannot decide on text that is no JSON, a redirect or a closed connection', async () => {
    const keyService = await stub();
    const other = await stub();
    const verifier = strict({ urls: [keyService.url] });
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

  it('stops waiting for a key service that hangs, and asks a slow one hardly more often', async () => {
    const keyService = await stub();
    keyService.answer(() => undefined);
    const verifier = strict({ urls: [keyService.url], timeoutMs: 50 });
    for (let i = 0; i < 3; i += 1)
      await expect(verifier.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    // a key of which nothing is known may have a limit, which two questions would take from twice
    expect(keyService.seen).toHaveLength(3);
  });

  it.each(['cached', 'strict'] as const)(
    'answers 503 before a second is over while the key service hangs, in %s mode as it is by default',
    async (mode) => {
      const keyService = await stub();
      keyService.answer(() => undefined);
      const guard = createKeyGuard({ urls: [keyService.url], token, service: 'reports', mode });
      guards.push(guard);
      const request = { headers: { 'x-api-key': 'kw_live_x' } };
      // a timer beside those of the guard: where the machine is late, all of them are
      const second = wait(1_000, 'nothing', { ref: false });
      const answer = await Promise.race([guard.check(request, ['reports:read']), second]);
      expect(answer).toMatchObject({
        status: 503,
        headers: { 'Retry-After': '1' },
        problem: { code: 'VERIFICATION_UNAVAILABLE' },
      });
    },
  );

  it('stops waiting for a token that does not come', async () => {
    const keyService = await stub();
    const never = () => new Promise<string>(() => undefined);
    const verifier = strict({ urls: [keyService.url], token: never, timeoutMs: 20 });
    await expect(verifier.verify(question)).rejects.toMatchObject({
      name: 'VerificationUnavailable',
      cause: expect.any(TokenUnavailable) as Error,
    });
    expect(keyService.seen).toEqual([]);
  });

  it('asks the next replica when one is gone or errs, and stays with the one that answers', async () => {
    const broken = await stub();
    broken.answer((_seen, response) => json(response, 503, {}));
    const good = await stub();
    for (const bad of [await gone(), broken.url]) {
      const verifier = strict({ urls: [bad, good.url], timeoutMs: 200 });
      await expect(verifier.verify(question)).resolves.toEqual(valid);
      await expect(verifier.verify(question)).resolves.toEqual(valid);
    }
    expect([good.seen.length, broken.seen.length]).toEqual([4, 1]);
  });

  it('asks the next replica when one hangs, about a key without limits, and stays with that', async () => {
    const [hanging, good] = [await stub(), await stub()];
    const verifier = strict({ urls: [hanging.url, good.url], timeoutMs: 200 });
    await expect(verifier.verify(question)).resolves.toEqual(valid);
    hanging.answer(() => undefined);
    for (let i = 0; i < 3; i += 1) await expect(verifier.verify(question)).resolves.toEqual(valid);
    expect([hanging.seen.length, good.seen.length]).toEqual([2, 3]);
  });

  it.each([
    ['a rate limit', { rateLimits: [{ name: 'a', limit: 9, remaining: 8, resetSeconds: 1 }] }],
    ['a quota', { quota: { limit: 9, remaining: 8, resetsAt: null } }],
  ])('asks but once about a key with %s, or not known yet, however late', async (_what, limits) => {
    const [slow, other] = [await stub(), await stub()];
    const answer = { ...valid, ...limits };
    slow.answer((_seen, response) => void wait(700).then(() => json(response, 200, answer)));
    const verifier = strict({ urls: [slow.url, other.url], timeoutMs: 1_200 });
    for (let i = 0; i < 2; i += 1)
      await expect(verifier.verify(question)).resolves.toMatchObject(limits);
    expect([slow.seen.length, other.seen.length]).toEqual([2, 0]);
    slow.answer(() => undefined);
    await expect(verifier.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    expect([slow.seen.length, other.seen.length]).toEqual([3, 0]);
  });

  it('survives a restart of the only key service without a failed answer', async () => {
    const first = await createStubServer();
    first.answer((_seen, response) => json(response, 200, valid));
    const verifier = strict({ urls: [first.url] });
    await expect(verifier.verify(question)).resolves.toEqual(valid);
    await first.close();
    await stub(first.port);
    await expect(verifier.verify(question)).resolves.toEqual(valid);
  });

  it('asks the only key service once more when it closes the connection, whatever limits the key has', async () => {
    const keyService = await stub();
    const quota = { limit: 9, remaining: 7, resetsAt: null };
    const limited = { ...valid, quota };
    keyService.answer((_seen, response) =>
      keyService.seen.length === 1 ? void response.destroy() : json(response, 200, limited),
    );
    const verifier = strict({ urls: [keyService.url] });
    await expect(verifier.verify(question)).resolves.toEqual(limited);
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
      strict({
        urls: [keyService.url],
        token: (refused) => Promise.resolve(refused === 'old' ? fresh : 'old'),
      }).verify(question);
    await expect(verifyWith('new')).resolves.toEqual(valid);
    await expect(verifyWith('new too')).rejects.toBeInstanceOf(VerificationUnavailable);
    expect(keyService.seen).toHaveLength(4);
  });

  it('sends the questions of one turn together, and gives each its own verdict', async () => {
    const keyService = await stub();
    const toVerdict = ({ key }: { key: string }) =>
      key.startsWith('bad')
        ? { valid: false, code: 'NOT_FOUND', decision: valid.decision }
        : { ...valid, consumer: `consumer-${key}` };
    keyService.answer(({ path, body }, response) => {
      expect(path).toBe('/v1/keys/verify-batch');
      const { requests } = JSON.parse(body) as { requests: { key: string }[] };
      void wait(Math.random() * 20).then(() =>
        json(response, 200, { results: requests.map(toVerdict) }),
      );
    });
    const verifier = strict({ urls: [keyService.url], timeoutMs: 10_000 });
    const keys = Array.from({ length: 250 }, (_, i) => `${i % 7 === 0 ? 'bad' : ''}${i % 50}`);
    const verdicts = await Promise.all(keys.map(async (key) => verifier.verify({ key })));
    expect(verdicts).toEqual(keys.map((key) => toVerdict({ key })));
    expect(
      keyService.seen.map(
        ({ body }) => (JSON.parse(body) as { requests: unknown[] }).requests.length,
      ),
    ).toEqual([100, 100, 50]);
  });

  it('lets no question of a batch pass on another’s verdict, an odd one or none', async () => {
    const keyService = await stub();
    const verifier = strict({ urls: [keyService.url] });
    const pair = () =>
      Promise.allSettled([verifier.verify({ ...question, key: 'a' }), verifier.verify(question)]);
    const answers = [valid, { ...valid, code: 'PERHAPS' }, { ...valid, scopes: [] }, null];
    for (const odd of answers.slice(1)) {
      keyService.answer((_seen, response) => json(response, 200, { results: [valid, odd] }));
      expect((await pair()).map((one) => one.status)).toEqual(['fulfilled', 'rejected']);
    }
    for (const results of [[valid], [valid, valid, valid], 'two', undefined]) {
      keyService.answer((_seen, response) => json(response, 200, { results }));
      expect((await pair()).map((one) => one.status)).toEqual(['rejected', 'rejected']);
    }
  });

  it('asks each alone where one that is not well-formed would be the end of all', async () => {
    const keyService = await stub();
    keyService.answer(({ path, body }, response) => {
      if (path.endsWith('batch') || body.includes('"bad"')) json(response, 400, {});
      else json(response, 200, valid);
    });
    const verifier = strict({ urls: [keyService.url] });
    const asked = ['good', 'bad', 'fine'].map(async (key) => verifier.verify({ key }));
    const settled = await Promise.allSettled(asked);
    expect(settled.map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('does not take a verdict on another key for its own', async () => {
    const keyService = await stub();
    const verifier = strict({ urls: [keyService.url] });
    const { text, keyId } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
    const own = { ...question, key: text };
    await expect(verifier.verify(own)).rejects.toBeInstanceOf(VerificationUnavailable);
    keyService.answer((_seen, response) => json(response, 200, { ...valid, keyId }));
    await expect(verifier.verify(own)).resolves.toMatchObject({ keyId });
  });

  it('asks a key service that is slow for everybody at most a tenth more often', async () => {
    const slow = await stub();
    slow.answer((_seen, response) => json(response, 200, valid));
    const verifier = strict({ urls: [slow.url], timeoutMs: 20 });
    while (!(await Promise.resolve(verifier.verify(question)).catch(() => null))?.valid);
    slow.seen.length = 0;
    slow.answer((_seen, response) => void wait(60).then(() => json(response, 200, valid)));
    for (let i = 0; i < 100; i += 1) {
      await Promise.resolve(verifier.verify(question)).catch(() => undefined);
    }
    expect(slow.seen.length).toBeLessThanOrEqual(110);
  });

  it('leaves a replica alone that fails again and again, and finds it again', async () => {
    const keyService = await stub();
    keyService.answer((_seen, response) => json(response, 500, {}));
    const verifier = strict({ urls: [keyService.url] });
    const tries = async (count: number) => {
      for (let i = 0; i < count; i += 1)
        await Promise.resolve(verifier.verify(question)).catch(() => undefined);
    };
    await tries(50);
    expect(keyService.seen.length).toBeLessThan(15);
    expect(verifier.state().isBroken).toBe(true);
    keyService.answer((_seen, response) => json(response, 200, valid));
    while (verifier.state().isBroken) await tries(1).then(() => wait(20));
    await expect(verifier.verify(question)).resolves.toEqual(valid);
  });

  it('tries a replica that it leaves alone before it refuses, but one that is down not each time', async () => {
    const keyService = await stub();
    keyService.answer((_seen, response) => json(response, 500, {}));
    const verifier = strict({ urls: [keyService.url] });
    const ask = async () => Promise.resolve(verifier.verify(question)).catch(() => null);
    while (!verifier.state().isBroken) await ask();
    keyService.answer((_seen, response) => json(response, 200, valid));
    await expect(verifier.verify(question)).resolves.toEqual(valid);
    keyService.answer((_seen, response) => json(response, 500, {}));
    while (!verifier.state().isBroken) await ask();
    keyService.seen.length = 0;
    await Promise.all(Array.from({ length: 50 }, ask));
    for (let i = 0; i < 50; i += 1) await ask();
    expect(keyService.seen.length).toBeLessThan(25);
  });

  it.each([
    ['no URL', { urls: [] }, 'urls'],
    ['a URL that is not http', { urls: ['file:///etc/passwd'] }, 'urls'],
    ['no service', { service: undefined }, 'service'],
    ['no token', { token: 'a token' }, 'token'],
    ['an unknown mode', { mode: 'fast' }, 'mode'],
    ['an environment that there is not', { environment: 'any' }, 'environment'],
    ['more staleness than is allowed', { maxStalenessMs: 60_000 }, 'maxStalenessMs'],
    ['an unknown option', { cache: true }, 'cache'],
    ['certificates that are none', { ca: 'trust me' }, 'ca'],
  ])('is not made with %s, and says so', (_what, wrong, name) => {
    const options = { urls: ['http://127.0.0.1:1'], token, service: 'reports', ...wrong };
    expect(() => createKeyGuard(options as never)).toThrow('Options of the key guard');
    expect(() => createKeyGuard(options as never)).toThrow(name);
  });
});
