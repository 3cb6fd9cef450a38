import type { Lease, Verdict } from '#contracts';
import { createStubServer, json, type StubServer } from '../testing/stub-server.js';
import { createKeyGuard, type KeyGuardCore } from './key-guard.js';
import { VerificationUnavailable } from './unavailable.js';

const hoursAway = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
const secondsAway = (seconds: number) => hoursAway(seconds / 3_600);
const lease: Lease = {
  notBefore: null,
  ipAllowlist: [],
  rateLimits: [],
  hasQuota: false,
  permits: 0,
  graceSeconds: 60,
  sensitiveScopes: [],
};
const valid: Verdict = {
  valid: true,
  code: 'VALID',
  keyId: 'key_3kTMd7QpXvB2nYcF',
  secretNumber: 1,
  consumer: 'service-b',
  environment: 'live',
  scopes: ['reports:*'],
  expiresAt: hoursAway(24),
  decision: { source: 'store', asOf: hoursAway(0), ttlSeconds: 60, version: 1 },
  lease,
};
const question = { key: 'kw_live_x', scopes: ['reports:read'], clientIp: '10.0.0.1' };

describe.each(['strict', 'cached'] as const)('an answer in %s mode', (mode) => {
  let keyService: StubServer;
  let guard: KeyGuardCore;

  beforeEach(async () => {
    keyService = await createStubServer();
    guard = createKeyGuard({
      urls: [keyService.url],
      token: () => Promise.resolve('own-token'),
      service: 'reports',
      mode,
      // what is said is looked at here, not how soon
      timeoutMs: 10_000,
    });
  });
  afterEach(async () => {
    await guard.close();
    await keyService.close();
  });
  const answer = (one: unknown) =>
    keyService.answer(({ path }, response) => {
      if (path === '/v1/keys/verify') json(response, 200, one);
      else if (path === '/v1/keys/verify-batch') json(response, 200, { results: [valid, one] });
      else json(response, 404, {});
    });

  it.each<[string, object]>([
    ['lacks a scope', { scopes: ['reports:write'] }],
    ['is of another environment', { environment: 'test' }],
    ['is of an environment that there is not', { environment: 'staging' }],
    ['has expired', { expiresAt: secondsAway(-70) }],
    ['was presented with a secret that has ended', { rotation: ended() }],
    ['does not begin yet', { lease: { ...lease, notBefore: secondsAway(70) } }],
    ['may not be used from there', { lease: { ...lease, ipAllowlist: ['192.0.2.0/24'] } }],
    ['has a code that there is not', { code: 'PERHAPS' }],
    ['is refused as well', { code: 'DISABLED' }],
    ['is revoked, and leased', { valid: false, code: 'REVOKED' }],
    ['is disabled, and leased', { valid: false, code: 'DISABLED' }],
    ['is not there, and leased', { valid: false, code: 'NOT_FOUND' }],
    ['is over its limit, and leased units of it', overLimit()],
    ['names no consumer', { consumer: undefined }],
  ])('lets nobody pass with a key that, as it says itself, %s', async (_what, more) => {
    answer({ ...valid, ...more });
    await expect(guard.verify(question)).rejects.toBeInstanceOf(VerificationUnavailable);
    const other = { ...question, key: 'kw_live_y' };
    const both = [other, question].map(async (one) => guard.verify(one));
    const together = await Promise.allSettled(both);
    expect(together.map((one) => one.status)).toEqual(['fulfilled', 'rejected']);
    const request = { headers: { 'x-api-key': question.key }, ip: question.clientIp };
    expect(await guard.check(request, question.scopes)).toMatchObject({
      allowed: false,
      status: 503,
      problem: { code: 'VERIFICATION_UNAVAILABLE' },
    });
  });

  it('may come from a clock that is somewhat slow or fast', async () => {
    const notBefore = secondsAway(30);
    answer({ ...valid, expiresAt: secondsAway(-30), lease: { ...lease, notBefore } });
    await expect(guard.verify(question)).resolves.toMatchObject({ valid: true });
  });

  it('lets an address pass that is in the list', async () => {
    answer({ ...valid, lease: { ...lease, ipAllowlist: ['10.0.0.0/8'] } });
    await expect(guard.verify(question)).resolves.toMatchObject({ valid: true });
    const elsewhere = { ...question, clientIp: undefined };
    await expect(guard.verify(elsewhere)).rejects.toBeInstanceOf(VerificationUnavailable);
  });
});

function overLimit(): Partial<Verdict> {
  return { valid: false, code: 'RATE_LIMITED', lease: { ...lease, permits: 5 } };
}

function ended(): Verdict['rotation'] {
  return { superseded: true, validUntil: secondsAway(-70) };
}
