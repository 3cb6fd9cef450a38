import type { ChangedKey, IssuedKey, Key, RotatedKey } from '#contracts';
import { startManagement, type ManagementApp, type Method } from '../testing/management-app.js';
import { problemIn, seed, type Seed } from '../testing/seed.js';

describe('/v1/self', () => {
  let app: ManagementApp;
  let seeded: Seed;

  beforeAll(async () => {
    app = await startManagement();
    seeded = await seed(app);
  });

  afterAll(() => app?.stop());

  const self = (method: Method, path: string, secret: string) =>
    app.call(method, `/v1/self${path}`, null).set('x-api-key', secret);

  const lastChange = async (id: string): Promise<Record<string, unknown>> => {
    const [row] = await app.postgres.owner.query<Record<string, unknown>[]>(
      `SELECT actor, via, action FROM keys.change_log WHERE target_id = $1 ORDER BY seq DESC LIMIT 1`,
      [id],
    );
    return row!;
  };

  it('shows the holder its key, as its admins see it', async () => {
    const { key, secret } = await seeded.issue({ quota: { limit: 5 } });
    const { status, body, headers } = await self('get', '', secret);
    expect([status, headers['cache-control'], headers['etag']]).toEqual([200, 'no-store', '"1"']);
    expect(body).toEqual(key);
  });

  it('rotates it, with the key as the actor', async () => {
    const { key, secret } = await seeded.issue();
    const answer = await self('post', '/rotate', secret).send({ overlapSeconds: 60 });
    expect(answer.status).toBe(200);
    const rotated = answer.body as RotatedKey;
    expect(Object.keys(rotated)).toEqual(['key', 'secret', 'previous']);
    const { etag, 'keyward-propagation': reached } = answer.headers;
    expect([etag, reached]).toEqual(['"2"', 'confirmed']);
    expect(rotated.key).toMatchObject({ id: key.id, version: 2 });
    expect(await seeded.codeOf(rotated.secret)).toBe('VALID');
    expect(await seeded.codeOf(secret)).toBe('VALID');
    expect(await lastChange(key.id)).toEqual({
      actor: `key:${key.id}`,
      via: null,
      action: 'key.rotated',
    });
    const again = await self('post', '/rotate', rotated.secret).send({});
    expect(problemIn(again)).toEqual({ status: 409, code: 'CONFLICT' });
  });

  it('rotates once for an Idempotency-Key, however often and with whichever of its secrets it is asked', async () => {
    const { key, secret } = await seeded.issue();
    const rotate = (by: string, body: object = { overlapSeconds: 60 }) =>
      self('post', '/rotate', by).set('idempotency-key', 'own').send(body);
    const answers = await Promise.all([1, 2, 3].map(() => rotate(secret)));
    const first = answers.find((one) => one.headers['idempotency-replayed'] === undefined)!;
    const fresh = (first.body as RotatedKey).secret;
    answers.push(await rotate(secret), await rotate(fresh));
    expect(answers.map((one) => [one.status, one.body])).toEqual(
      answers.map(() => [200, first.body]),
    );
    expect(answers.filter((one) => one.headers['idempotency-replayed'] === 'true')).toHaveLength(4);
    expect(await seeded.count('secret', `key_id = '${key.id}'`)).toBe(2);
    expect([await seeded.codeOf(secret), await seeded.codeOf(fresh)]).toEqual(['VALID', 'VALID']);
    const other = await rotate(secret, { overlapSeconds: 61 });
    expect(problemIn(other)).toEqual({ status: 422, code: 'IDEMPOTENCY_KEY_REUSED' });
    // another key's is its own
    const another = await seeded.issue();
    const { body } = await rotate(another.secret);
    expect((body as RotatedKey).key.id).toBe(another.key.id);
  });

  it('rotates without a body by the policy, and never beyond it', async () => {
    const { secret } = await seeded.issue();
    expect((await self('post', '/rotate', secret)).status).toBe(200);
    const other = await seeded.issue();
    const tooLong = await self('post', '/rotate', other.secret).send({
      overlapSeconds: 31 * 86_400,
    });
    expect(problemIn(tooLong)).toMatchObject({ status: 400, code: 'POLICY_VIOLATION' });
  });

  it('revokes it, after which it opens nothing', async () => {
    const { key, secret } = await seeded.issue();
    const answer = await self('post', '/revoke', secret).send({ reason: 'leaked', comment: 'git' });
    expect(answer.status).toBe(200);
    expect((answer.body as ChangedKey).key).toMatchObject({
      id: key.id,
      status: 'revoked',
      revocationReason: 'leaked',
    });
    expect((answer.body as ChangedKey).propagation.confirmed).toBe(true);
    expect(await lastChange(key.id)).toMatchObject({ actor: `key:${key.id}` });
    expect(await seeded.codeOf(secret)).toBe('REVOKED');
    expect(problemIn(await self('get', '', secret))).toEqual({
      status: 403,
      code: 'API_KEY_REVOKED',
    });
  });

  it('needs no grant for any one service, and no scope', async () => {
    const { secret } = await seeded.issue({
      grants: [{ service: 'service-x', scopes: ['things:read'] }],
      environment: 'test',
    });
    expect((await self('get', '', secret)).status).toBe(200);
  });

  it('takes no key that may not be used, and says why only to who has its secret', async () => {
    const disabled = await seeded.issue();
    await app.call('post', `/v1/keys/${disabled.key.id}/disable`, seeded.admin);
    const early = await seeded.issue({ notBefore: new Date(Date.now() + 60_000).toISOString() });
    const bound = await seeded.issue({ ipAllowlist: ['10.0.0.0/8'] });
    const old = await seeded.issue();
    await self('post', '/rotate', old.secret).send({ overlapSeconds: 0 });
    const wrong = `${disabled.secret.slice(0, -1)}${disabled.secret.endsWith('0') ? '1' : '0'}`;
    const codes = [];
    for (const text of [disabled, early, bound, old].map((one) => one.secret))
      codes.push(problemIn(await self('get', '', text)));
    for (const text of [wrong, 'junk']) codes.push(problemIn(await self('get', '', text)));
    expect(codes).toEqual(
      [
        'API_KEY_DISABLED',
        'API_KEY_NOT_YET_VALID',
        'IP_NOT_ALLOWED',
        'API_KEY_SUPERSEDED',
        'API_KEY_INVALID',
        'API_KEY_INVALID',
      ].map((code) => ({ status: 403, code })),
    );
  });

  it('asks for a key, and for nothing beside it', async () => {
    const missing = await app.call('get', '/v1/self', null);
    expect(problemIn(missing)).toEqual({ status: 401, code: 'API_KEY_MISSING' });
    expect(missing.headers['www-authenticate']).toBe('ApiKey');
    expect(problemIn(await app.call('get', '/v1/self', seeded.admin))).toEqual({
      status: 401,
      code: 'API_KEY_MISSING',
    });
    const { secret } = await seeded.issue();
    const both = await app.call('get', '/v1/self', seeded.admin).set('x-api-key', secret);
    expect(problemIn(both)).toEqual({ status: 400, code: 'INVALID_HEADER' });
  });

  it('is all that a key opens: every other route answers 401', async () => {
    const issued: IssuedKey = await seeded.issue();
    const { body } = await app.call('get', '/openapi.json', null);
    const { paths } = body as { paths: Record<string, Record<string, object>> };
    const open = ['/health/live', '/health/ready', '/openapi.json', '/v1/exports/keys'];
    const routes = Object.entries(paths)
      .filter(([path]) => !path.startsWith('/v1/self') && !open.includes(path))
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => [method, path] as const));
    expect(routes.length).toBeGreaterThan(15);
    const wanted: Record<string, string> = {
      '/v1/introspect': 'token=x',
      '/v1/keys/verify': '{"key":"x"}',
      '/v1/keys/verify-batch': '{"requests":[{"key":"x"}]}',
    };
    const answers = [];
    for (const [method, path] of routes) {
      const target = path.replace('{id}', issued.key.id).replace('{slug}', 'service-a');
      const { status, body: problem } = await app
        .call(method as Method, target, null)
        .set('x-api-key', issued.secret)
        .type(path === '/v1/introspect' ? 'form' : 'json')
        .send(method === 'get' ? undefined : (wanted[path] ?? '{}'));
      answers.push([method, path, status, (problem as { code?: string }).code]);
    }
    expect(answers).toEqual(routes.map((route) => [...route, 401, 'UNAUTHENTICATED']));
    const { body: after } = await app.call('get', `/v1/keys/${issued.key.id}`, seeded.admin);
    expect(after as Key).toEqual(issued.key);
  });

  it('lets an address try 20 bad keys at once, and good ones as often as it likes', async () => {
    const { secret } = await seeded.issue();
    for (let i = 0; i < 30; i += 1) expect((await self('get', '', secret)).status).toBe(200);
    const answers = await Promise.all(Array.from({ length: 120 }, () => self('get', '', 'junk')));
    const codes = answers.map((one) => problemIn(one).code);
    expect(codes).toContain('API_KEY_INVALID');
    expect(codes.filter((code) => code === 'TOO_MANY_REQUESTS').length).toBeGreaterThan(20);
    const turned = answers.find((one) => one.status === 429)!;
    expect(turned.headers['retry-after']).toBe('1');
  });
});
