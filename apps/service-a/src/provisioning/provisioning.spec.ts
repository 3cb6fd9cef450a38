import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';
import request from 'supertest';
import type { Key } from '#contracts';
import { sendJson, sendProblem } from '../../../../test/support/stub-server.js';
import { createServiceA, createSurroundings, type Surroundings } from '../testing/service-a.js';
import { createUpstream } from '../upstream.js';
import { KeyProvisioner } from './key-provisioner.js';

const id = 'key_3kTMd7QpXvB2nYcF';
const secret = `kw_live_3kTMd7QpXvB2nYcF_${'S'.repeat(49)}`;
const key: Key = {
  id,
  name: 'For summaries',
  consumer: 'service-b',
  environment: 'live',
  grants: [{ service: 'service-a', scopes: ['reports:read'] }],
  status: 'active',
  notBefore: null,
  expiresAt: '2027-01-31T12:00:00.000Z',
  rateLimits: [],
  quota: null,
  ipAllowlist: [],
  tags: [],
  metadata: {},
  hint: { prefix: 'kw', last4: 'SSSS' },
  rotation: null,
  origin: 'issued',
  createdAt: '2026-11-01T12:00:00.000Z',
  createdBy: 'usr_1',
  updatedAt: '2026-11-01T12:00:00.000Z',
  lastUsedAt: null,
  revokedAt: null,
  revocationReason: null,
  version: 1,
};
const body = { name: 'For summaries', consumer: 'service-b', scopes: ['reports:read'] };

describe('keys made through service-a', () => {
  let around: Surroundings;
  let app: NestFastifyApplication;
  let admin: string;
  const post = (path: string, sent: object) =>
    request(app.getHttpServer()).post(path).auth(admin, { type: 'bearer' }).send(sent);

  beforeEach(async () => {
    around = await createSurroundings();
    app = await createServiceA(around.env);
    admin = await around.token({ roles: ['admin'] });
  });
  afterEach(async () => {
    await app.close();
    await around.close();
  });

  it('makes a key for this service, as itself for the admin', async () => {
    around.keyService.routes({
      'POST /v1/keys': (_seen, response) =>
        sendJson(response, 201, { key, secret }, { 'idempotency-replayed': 'true' }),
    });
    const response = await post('/v1/api-keys', { ...body, expiresInSeconds: 60 })
      .set({ 'idempotency-key': 'once', 'x-request-id': 'req-1' })
      .expect(201);
    expect(response.body).toEqual({ key, secret });
    expect(response.headers).toMatchObject({
      'idempotency-replayed': 'true',
      'cache-control': 'no-store',
    });
    const { headers, body: sent } = around.keyService.seen[0]!;
    expect(sent).toEqual({
      name: 'For summaries',
      consumer: 'service-b',
      expiresInSeconds: 60,
      environment: 'live',
      grants: [{ service: 'service-a', scopes: ['reports:read'] }],
    });
    expect(headers).toMatchObject({
      authorization: 'Bearer own-token-1',
      'x-actor-token': admin,
      'idempotency-key': 'once',
      'x-request-id': 'req-1',
    });
  });

  it('passes on that an answer was given before, then without its secret too', async () => {
    const replayed = { 'idempotency-replayed': 'true', etag: '"1"' };
    const previous = { validUntil: '2026-11-02T12:00:00.000Z' };
    around.keyService.routes({
      'POST /v1/keys': (_seen, response) => sendJson(response, 201, { key }, replayed),
      [`POST /v1/keys/${id}/rotate`]: (_seen, response) =>
        sendJson(response, 200, { key, previous }, replayed),
    });
    const created = await post('/v1/api-keys', body).set('idempotency-key', 'a').expect(201);
    expect(created.body).toEqual({ key });
    const path = `/v1/api-keys/${id}/rotate`;
    const rotated = await post(path, {}).set('idempotency-key', 'b').expect(200);
    expect(rotated.body).toEqual({ key, previous });
    for (const { headers } of [created, rotated]) expect(headers).toMatchObject(replayed);
    const passed = around.keyService.seen.map((one) => one.headers['idempotency-key']);
    expect(passed).toEqual(['a', 'b']);
  });

  it('rotates only the version that the caller names', async () => {
    around.keyService.routes({
      [`POST /v1/keys/${id}/rotate`]: (_seen, response) =>
        sendProblem(response, 412, 'VERSION_MISMATCH'),
    });
    const path = `/v1/api-keys/${id}/rotate`;
    const response = await post(path, {}).set('if-match', '"7"').expect(412);
    expect(response.body).toMatchObject({ code: 'VERSION_MISMATCH' });
    expect(around.keyService.seen[0]!.headers['if-match']).toBe('"7"');
  });

  it('lists the keys of this service', async () => {
    const page = { data: [key], nextCursor: 'next' };
    around.keyService.routes({
      'GET /v1/keys': (_seen, response) => sendJson(response, 200, page),
    });
    const response = await request(app.getHttpServer())
      .get('/v1/api-keys?limit=1&cursor=c%26d&consumer=service-b')
      .auth(admin, { type: 'bearer' })
      .expect(200);
    expect(response.body).toEqual(page);
    const { path } = around.keyService.seen[0]!;
    expect(Object.fromEntries(new URLSearchParams(path.split('?')[1]))).toEqual({
      limit: '1',
      cursor: 'c&d',
      consumer: 'service-b',
      service: 'service-a',
    });
  });

  it('does not let the caller name another service', async () => {
    const grants = [{ service: 'service-x', scopes: ['all'] }];
    await post('/v1/api-keys', { ...body, grants }).expect(400);
    await request(app.getHttpServer())
      .get('/v1/api-keys?service=service-x')
      .auth(admin, { type: 'bearer' })
      .expect(400);
    expect(around.keyService.seen).toEqual([]);
  });

  it('rotates, without a body too, and revokes', async () => {
    const rotated = { key, secret, previous: { validUntil: '2026-11-02T12:00:00.000Z' } };
    const revoked = { key, propagation: { confirmed: true, boundSeconds: 0, ms: 3 } };
    around.keyService.routes({
      [`POST /v1/keys/${id}/rotate`]: (_seen, response) => sendJson(response, 200, rotated),
      [`POST /v1/keys/${id}/revoke`]: (_seen, response) => sendJson(response, 200, revoked),
    });
    const first = await post(`/v1/api-keys/${id}/rotate`, { overlapSeconds: 0 }).expect(200);
    expect(first.body).toEqual(rotated);
    await request(app.getHttpServer())
      .post(`/v1/api-keys/${id}/rotate`)
      .auth(admin, { type: 'bearer' })
      .expect(200);
    const last = await post(`/v1/api-keys/${id}/revoke`, { reason: 'leaked' }).expect(200);
    expect(last.body).toEqual(revoked);
    expect(around.keyService.seen.map((one) => one.body)).toEqual([
      { overlapSeconds: 0 },
      {},
      { reason: 'leaked' },
    ]);
    await post('/v1/api-keys/key_..%2f..%2fservices/revoke', { reason: 'leaked' }).expect(400);
  });

  it('has a secret delivered, so that it passes through nobody’s hands, not even its own', async () => {
    const deliverTo = { provider: 'vault', path: 'keys/service-b' };
    const delivered = { ...deliverTo, version: '7' };
    const previous = { validUntil: '2026-11-02T12:00:00.000Z' };
    around.keyService.routes({
      'POST /v1/keys': (_seen, response) => sendJson(response, 201, { key, delivered }),
      [`POST /v1/keys/${id}/rotate`]: (_seen, response) =>
        sendJson(response, 200, { key, delivered, previous }),
    });
    const made = await post('/v1/api-keys', { ...body, deliverTo }).expect(201);
    const rotated = await post(`/v1/api-keys/${id}/rotate`, { deliverTo }).expect(200);
    expect([made.body, rotated.body]).toEqual([
      { key, delivered },
      { key, delivered, previous },
    ]);
    expect(around.keyService.seen.map((one) => one.body)).toMatchObject([
      { deliverTo },
      { deliverTo },
    ]);
  });

  it.each([
    [502, 'DELIVERY_FAILED', undefined],
    [503, 'DELIVERY_UNAVAILABLE', '5'],
  ])('passes on that a delivery failed: %i %s', async (status, code, retryAfter) => {
    const headers = { ...(retryAfter && { 'retry-after': retryAfter }) };
    around.keyService.routes({
      'POST /v1/keys': (_seen, response) => sendProblem(response, status, code, { headers }),
    });
    const response = await post('/v1/api-keys', body).expect(status);
    expect(response.body).toMatchObject({ code, detail: code });
    expect(response.headers['retry-after']).toBe(retryAfter);
  });

  it('gives a refusal of the key service in terms of its own body', async () => {
    around.keyService.routes({
      'POST /v1/keys': (_seen, response) =>
        sendProblem(response, 400, 'INVALID_REQUEST', {
          detail: '/grants/0/scopes/1: unknown scope',
          errors: [{ pointer: '/grants/0/scopes/1', code: 'UNKNOWN_SCOPE', detail: 'unknown' }],
        }),
    });
    const response = await post('/v1/api-keys', body).set('x-request-id', 'req-3').expect(400);
    expect(response.body).toEqual({
      type: 'urn:keyward:problem:invalid-request',
      title: 'The request is not valid',
      status: 400,
      code: 'INVALID_REQUEST',
      detail: '/scopes/1: unknown scope',
      instance: '/v1/api-keys',
      requestId: 'req-3',
      errors: [{ pointer: '/scopes/1', code: 'UNKNOWN_SCOPE', detail: 'unknown' }],
    });
  });

  it('lets admins only', async () => {
    const call = (token?: string) => {
      const one = request(app.getHttpServer()).post('/v1/api-keys').send(body);
      return token === undefined ? one : one.auth(token, { type: 'bearer' });
    };
    expect((await call().expect(401)).body).toMatchObject({ code: 'UNAUTHENTICATED' });
    const user = await around.token({ roles: ['user'] });
    expect((await call(user).expect(403)).body).toMatchObject({ code: 'FORBIDDEN' });
    const service = await around.token({ roles: [], client_id: 'x', scope: 'keys:provision' });
    expect((await call(service).expect(403)).body).toMatchObject({ code: 'FORBIDDEN' });
    const elsewhere = await around.token({ roles: ['admin'], aud: ['service-b'] });
    expect((await call(elsewhere).expect(401)).body).toMatchObject({ code: 'INVALID_TOKEN' });
    await request(app.getHttpServer()).post('/v1/api-keys').set('x-api-key', secret).expect(401);
    expect(around.keyService.seen).toEqual([]);
  });

  it('gives the refusal of the person as it is', async () => {
    around.keyService.routes({
      'POST /v1/keys': (_seen, response) => sendProblem(response, 401, 'INVALID_TOKEN'),
    });
    const response = await post('/v1/api-keys', body).expect(401);
    expect(response.body).toMatchObject({ code: 'INVALID_TOKEN' });
  });

  it('gets itself another token when its own may be the one that is refused', async () => {
    around.keyService.routes({
      'POST /v1/keys': ({ headers }, response) =>
        headers.authorization === 'Bearer new'
          ? sendJson(response, 201, { key, secret })
          : sendProblem(response, 401, 'INVALID_TOKEN'),
    });
    const urls = [around.keyService.url];
    const keys = new KeyProvisioner(
      createUpstream({ name: 'The key service', urls, timeoutMs: 1_000 }),
      (refused) => Promise.resolve(refused === 'old' ? 'new' : 'old'),
      'live',
    );
    const from = { headers: {}, ip: '127.0.0.1', id: 'req-1' } as FastifyRequest;
    const { data } = await keys.create(body, from);
    expect([data.secret, around.keyService.seen.length]).toEqual([secret, 2]);
  });

  it.each([
    ['errs', (_seen, response) => sendProblem(response, 500, 'INTERNAL_ERROR')],
    ['cannot', (_seen, response) => sendProblem(response, 503, 'SERVICE_UNAVAILABLE')],
    ['breaks off', (_seen, response) => void response.destroy()],
    ['answers oddly', (_seen, response) => sendJson(response, 201, { secret })],
  ] satisfies [string, Parameters<Surroundings['loginRoutes']>[0][string]][])(
    'answers 503 when the key service %s, without any of its answer',
    async (_what, respond) => {
      around.keyService.routes({ 'POST /v1/keys': respond });
      const response = await post('/v1/api-keys', body).expect(503);
      expect(response.body).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
      expect(response.headers['retry-after']).toBe('1');
      expect(response.text).not.toContain(secret);
    },
  );

  it('answers 503 when login does not give the service its token', async () => {
    around.loginRoutes({
      'POST /oauth2/token': (_seen, response) =>
        sendJson(response, 401, { error: 'invalid_client' }),
    });
    const response = await post('/v1/api-keys', body).expect(503);
    expect(response.body).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    expect(around.keyService.seen).toEqual([]);
  });
});
