import type { Introspection } from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { seed, type Seed } from '../testing/seed.js';

describe('POST /v1/introspect', () => {
  let app: ManagementApp;
  let seeded: Seed;
  let token: string;

  beforeAll(async () => {
    app = await startManagement();
    seeded = await seed(app);
    token = await app.issuer.service('service-a', 'keys:verify');
  });

  afterAll(() => app?.stop());

  const introspect = (text: string, bearer: string | null = token) =>
    app.call('post', '/v1/introspect', bearer).type('form').send({ token: text });

  it('describes an active key as RFC 7662 does', async () => {
    const { key, secret } = await seeded.issue({
      grants: [
        { service: 'service-a', scopes: ['reports:read', 'reports:write'] },
        { service: 'service-x', scopes: ['things:read'] },
      ],
      notBefore: '2026-01-01T00:00:00Z',
    });
    const { status, headers, body } = await introspect(secret);
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    expect(body).toEqual({
      active: true,
      scope: 'reports:read reports:write',
      client_id: 'service-b',
      sub: key.id,
      aud: 'service-a',
      token_type: 'api_key',
      iat: Math.floor(Date.parse(key.createdAt) / 1_000),
      nbf: Date.parse('2026-01-01T00:00:00Z') / 1_000,
      exp: Math.floor(Date.parse(key.expiresAt!) / 1_000),
    });
  });

  it('leaves out the end of a key that has none', async () => {
    const { secret } = await seeded.issue({ expiresAt: null });
    const { body } = await introspect(secret);
    expect(body).toMatchObject({ active: true });
    expect(Object.keys(body as object)).not.toContain('exp');
  });

  it('says exactly {"active": false} of every other key', async () => {
    const revoked = await seeded.issue();
    await app
      .call('post', `/v1/keys/${revoked.key.id}/revoke`, seeded.admin)
      .send({ reason: 'leaked' });
    const foreign = await seeded.issue({
      grants: [{ service: 'service-x', scopes: ['things:read'] }],
    });
    const bound = await seeded.issue({ ipAllowlist: ['10.0.0.0/8'] });
    const early = await seeded.issue({ notBefore: new Date(Date.now() + 60_000).toISOString() });
    const { secret } = await seeded.issue();
    const wrong = `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`;
    const texts = [revoked, foreign, bound, early].map((one) => one.secret);
    for (const text of [...texts, wrong, 'junk', 'k'.repeat(9_000)]) {
      const { status, text: sent } = await introspect(text);
      expect([status, sent]).toEqual([200, '{"active":false}']);
    }
  });

  it('spends nothing, and knows no limits', async () => {
    const { key, secret } = await seeded.issue({
      rateLimits: [{ name: 'hour', limit: 1, windowSeconds: 3_600 }],
      quota: { limit: 1 },
    });
    for (let i = 0; i < 3; i += 1) {
      expect((await introspect(secret)).body as Introspection).toMatchObject({ active: true });
    }
    expect(await seeded.codeOf(secret)).toBe('VALID');
    expect((await introspect(secret)).body as Introspection).toMatchObject({ active: true });
    const { body } = await app.call('get', `/v1/keys/${key.id}`, seeded.admin);
    expect(body).toMatchObject({ quota: { limit: 1, remaining: 0 } });
  });

  it('passes over parameters that it does not know, and takes a form only', async () => {
    const { secret } = await seeded.issue();
    const hinted = await app
      .call('post', '/v1/introspect', token)
      .type('form')
      .send({ token: secret, token_type_hint: 'access_token', more: '1' });
    expect(hinted.body).toMatchObject({ active: true });
    const asJson = await app.call('post', '/v1/introspect', token).send({ token: secret });
    expect(asJson.status).toBe(415);
    const empty = await app.call('post', '/v1/introspect', token).type('form').send({});
    expect(empty.status).toBe(400);
  });

  it('is for services that may verify', async () => {
    const { secret } = await seeded.issue();
    expect((await introspect(secret, null)).status).toBe(401);
    expect((await introspect(secret, seeded.admin)).status).toBe(403);
    const provisioner = await app.issuer.service('service-a', 'keys:provision');
    expect((await introspect(secret, provisioner)).status).toBe(403);
  });
});
