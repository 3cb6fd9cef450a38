import * as fc from 'fast-check';
import type { Explanation, Verdict } from '#contracts';
import { foreignText, importerOf, itemOf } from '../migration/testing.js';
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

  /** What may be wrong with a key, by its body or by what is done to it, and what may be asked of it that it has not. */
  const KEY_WRONGS = {
    early: { notBefore: '2100-01-01T00:00:00Z', expiresAt: null },
    bound: { ipAllowlist: ['10.0.0.0/8'] },
    test: { environment: 'test' },
    elsewhere: { grants: [{ service: 'service-x', scopes: ['things:read'] }] },
    limited: { rateLimits: [{ name: 'hour', limit: 1, windowSeconds: 3_600 }] },
    used: { quota: { limit: 1 } },
    // of a consumer that is disabled
    left: { consumer: 'left' },
  };
  const ASKED_WRONGS = {
    scopes: { scopes: ['reports:write'] },
    environment: { environment: 'live' },
    address: { clientIp: '192.0.2.7' },
    cost: { cost: 2 },
  };
  const namesOf = <T extends object>(wrongs: T) => fc.subarray(Object.keys(wrongs) as (keyof T)[]);

  it('decides as verification does, whatever is wrong with the key and the question', async () => {
    const token = await app.issuer.service('service-a', 'keys:verify');
    const enable = (enabled: boolean) =>
      app.call('patch', '/v1/consumers/left', seeded.admin).set('if-match', '*').send({ enabled });
    await app.call('post', '/v1/consumers', seeded.admin).send({ slug: 'left' });
    const seen = new Set<string>();
    const fates = fc.constantFrom('none', 'none', 'disable', 'revoke', 'expire', 'leave');
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(namesOf(KEY_WRONGS), fates, namesOf(ASKED_WRONGS)),
        async ([names, fate, asked]) => {
          const wrongs = names.map((name) => KEY_WRONGS[name]);
          const { key, secret } = await seeded.issue(Object.assign({}, ...wrongs) as object);
          if (fate === 'disable' || fate === 'revoke')
            await app
              .call('post', `/v1/keys/${key.id}/${fate}`, seeded.admin)
              .send(fate === 'revoke' ? { reason: 'leaked' } : undefined);
          if (fate === 'expire') await expire(key.id);
          if (fate === 'leave') await enable(false);
          const question = Object.assign({}, ...asked.map((name) => ASKED_WRONGS[name])) as object;
          const { code, failed, checks } = await explained(key.id, question);
          const verify = app.call('post', '/v1/keys/verify', token);
          const verdict = (await verify.send({ key: secret, ...question })).body as Verdict;
          if (fate === 'leave') await enable(true);
          expect(code).toBe(verdict.code);
          expect(checks.find((one) => !one.passed)?.name ?? null).toBe(failed);
          seen.add(code);
        },
      ),
      { numRuns: 40 },
    );
    // so many kinds of answer that it was not the same one again and again
    expect(seen.size).toBeGreaterThan(4);
  });

  /** Its end comes; a key is not issued with one that has come. */
  async function expire(id: string): Promise<void> {
    await app.postgres.owner.query(
      `UPDATE keys.key SET not_before = NULL, expires_at = now() - interval '1 second', version = version + 1 WHERE id = $1`,
      [id],
    );
  }

  it('says of a key that is held back for its old side that it is none', async () => {
    const text = foreignText('held');
    const item = itemOf(text);
    const { results } = await importerOf(app, seeded.admin)({ items: [item] });
    const { keyId } = results[0] as { keyId: string };
    const both = async () => [await seeded.codeOf(text), (await explained(keyId, {})).code];
    expect(await both()).toEqual(['VALID', 'VALID']);
    const body = { service: 'service-a', mode: 'shadow' };
    const moved = await app.call('post', '/v1/imports/move', seeded.admin).send(body);
    expect(moved.status).toBe(200);
    // the text alone does not look like a key of ours
    expect(await both()).toEqual(['MALFORMED', 'NOT_FOUND']);
    expect(await explained(keyId, {})).toMatchObject({ failed: 'service' });
  });

  it('says so too of a secret that its old side has given it since, and not of one that was made here', async () => {
    const [first, second] = [foreignText('gone1'), foreignText('gone2')];
    const importKeys = importerOf(app, seeded.admin);
    const { results } = await importKeys({ source: 'gone', items: [itemOf(first)] });
    const { keyId: id } = results[0] as { keyId: string };
    const supersedes = { until: new Date().toISOString() };
    await importKeys({ source: 'gone', items: [{ ...itemOf(second), id, supersedes }] });
    expect((await explained(id, {})).code).toBe('VALID');
    const body = { service: 'service-a', mode: 'shadow' };
    await app.call('post', '/v1/imports/move', seeded.admin).send(body);
    const both = async (text: string) => [
      await seeded.codeOf(text),
      (await explained(id, {})).code,
    ];
    expect(await both(second)).toEqual(['MALFORMED', 'NOT_FOUND']);
    const rotated = await app
      .call('post', `/v1/keys/${id}/rotate`, seeded.admin)
      .send({ overlapSeconds: 0 });
    expect(await both((rotated.body as { secret: string }).secret)).toEqual(['VALID', 'VALID']);
  });

  it('says so of a secret that was made here where keys of the old side look like it', async () => {
    const service = 'service-x';
    const item = { ...itemOf(foreignText('alike')), scopes: ['things:read'] };
    const scheme = { algorithm: 'sha256', shape: { minLength: 8, maxLength: 100 } };
    const importKeys = importerOf(app, seeded.admin);
    const { results } = await importKeys({ service, scheme, mode: 'shadow', items: [item] });
    const { keyId: id } = results[0] as { keyId: string };
    const rotated = await app.call('post', `/v1/keys/${id}/rotate`, seeded.admin).send({});
    const { secret: key } = rotated.body as { secret: string };
    const token = await app.issuer.service(service, 'keys:verify');
    const both = async () => [
      ((await app.call('post', '/v1/keys/verify', token).send({ key })).body as Verdict).code,
      (await explained(id, { service })).code,
    ];
    expect(await both()).toEqual(['NOT_FOUND', 'NOT_FOUND']);
    await app.call('post', '/v1/imports/move', seeded.admin).send({ service, mode: 'dual' });
    expect(await both()).toEqual(['VALID', 'VALID']);
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
