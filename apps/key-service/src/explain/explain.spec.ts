import type { Explanation } from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { problemIn, seed, type Seed } from '../testing/seed.js';

describe('POST /v1/keys/{id}/explain', () => {
  let app: ManagementApp;
  let seeded: Seed;

  beforeAll(async () => {
    app = await startManagement();
    seeded = await seed(app);
  });

  afterAll(() => app?.stop());

  const explain = (id: string, body: object, token = seeded.admin) =>
    app.call('post', `/v1/keys/${id}/explain`, token).send(body);

  const explained = async (id: string, body: object): Promise<Explanation> => {
    const answer = await explain(id, { service: 'service-a', ...body });
    expect(answer.status).toBe(200);
    return answer.body as Explanation;
  };

  it('shows every check in the order in which verification applies them', async () => {
    const { key } = await seeded.issue();
    const { checks, ...rest } = await explained(key.id, { scopes: ['reports:read'] });
    expect(rest).toEqual({ keyId: key.id, version: 1, code: 'VALID', failed: null });
    expect(checks.map((one) => [one.name, one.passed])).toEqual(
      [
        'secret',
        'service',
        'revocation',
        'state',
        'consumer',
        'overlap',
        'notBefore',
        'expiry',
        'environment',
        'address',
        'scopes',
        'rateLimits',
        'quota',
      ].map((name) => [name, true]),
    );
  });

  it.each([
    ['service', 'NOT_FOUND', { service: 'service-x' }],
    ['environment', 'WRONG_ENVIRONMENT', { environment: 'test' }],
    ['address', 'IP_NOT_ALLOWED', { clientIp: '192.0.2.7' }],
    ['address', 'IP_NOT_ALLOWED', {}],
    ['scopes', 'INSUFFICIENT_SCOPE', { clientIp: '10.0.0.1', scopes: ['reports:write'] }],
    ['rateLimits', 'RATE_LIMITED', { clientIp: '10.0.0.1', cost: 3 }],
    ['quota', 'QUOTA_EXCEEDED', { clientIp: '10.0.0.1', cost: 2 }],
  ])('names %s where it is the first that fails, %s', async (failed, code, body) => {
    const { key } = await seeded.issue({
      ipAllowlist: ['10.0.0.0/8'],
      rateLimits: [{ name: 'hour', limit: 2, windowSeconds: 3_600 }],
      quota: { limit: 1 },
    });
    expect(await explained(key.id, body)).toMatchObject({ failed, code });
  });

  it('agrees with verification, and shows what fails after the first as well', async () => {
    const { key, secret } = await seeded.issue();
    await app
      .call('post', `/v1/keys/${key.id}/revoke`, seeded.admin)
      .send({ reason: 'compromised' });
    const { code, failed, checks } = await explained(key.id, { scopes: ['reports:write'] });
    expect([code, failed]).toEqual([await seeded.codeOf(secret), 'revocation']);
    expect(checks.filter((one) => !one.passed).map((one) => one.name)).toEqual([
      'revocation',
      'state',
      'scopes',
    ]);
  });

  it('spends nothing', async () => {
    const { key, secret } = await seeded.issue({
      rateLimits: [{ name: 'hour', limit: 1, windowSeconds: 3_600 }],
      quota: { limit: 1 },
    });
    for (let i = 0; i < 3; i += 1) expect((await explained(key.id, {})).code).toBe('VALID');
    expect(await seeded.codeOf(secret)).toBe('VALID');
  });

  it('is for admins and auditors of all services of the key; to others it is not there', async () => {
    const { key } = await seeded.issue();
    const body = { service: 'service-a' };
    const token = (claims: object) => app.issuer.person('usr_other', claims);
    const auditor = await explain(key.id, body, await token({ roles: ['auditor'] }));
    expect(auditor.status).toBe(200);
    const own = await explain(key.id, body, await token({ services: ['service-a'] }));
    expect(own.status).toBe(200);
    const foreign = await explain(key.id, body, await token({ services: ['service-x'] }));
    expect(problemIn(foreign)).toEqual({ status: 404, code: 'NOT_FOUND' });
    const user = await explain(key.id, body, await token({ roles: ['user'] }));
    expect(user.status).toBe(403);
    const none = await explain('key_0000000000000000', body);
    expect(problemIn(none)).toEqual({ status: 404, code: 'NOT_FOUND' });
  });
});
