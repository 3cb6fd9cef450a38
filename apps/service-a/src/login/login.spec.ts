import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import request from 'supertest';
import { sendJson, sendProblem } from '../../../../test/support/stub-server.js';
import { createServiceA, createSurroundings, type Surroundings } from '../testing/service-a.js';

const pair = {
  accessToken: 'access',
  tokenType: 'Bearer',
  expiresIn: 600,
  refreshToken: 'refresh',
  refreshExpiresIn: 604_800,
};
const credentials = { username: 'ada', password: 'correct horse battery' };

describe('login through service-a', () => {
  let around: Surroundings;
  let app: NestFastifyApplication;
  const post = (path: string, body: object) => request(app.getHttpServer()).post(path).send(body);

  beforeAll(async () => {
    around = await createSurroundings();
    app = await createServiceA(around.env);
  });
  beforeEach(() => around.login.seen.splice(0));
  afterAll(async () => {
    await app.close();
    await around.close();
  });

  it.each([
    ['/v1/login', credentials],
    ['/v1/token/refresh', { refreshToken: 'kwr_x' }],
  ])('hands %s on to login and gives its answer', async (path, body) => {
    around.loginRoutes({ [`POST ${path}`]: (_seen, response) => sendJson(response, 200, pair) });
    const response = await post(path, body).expect(200);
    expect(response.body).toEqual(pair);
    expect(response.headers['cache-control']).toBe('no-store');
    expect(around.login.seen.map((one) => one.body)).toEqual([body]);
  });

  it('hands a logout on', async () => {
    around.loginRoutes({
      'POST /v1/logout': (_seen, response) => void response.writeHead(204).end(),
    });
    const response = await post('/v1/logout', { refreshToken: 'kwr_x' }).expect(204);
    expect(response.text).toBe('');
  });

  it('tells login the request id, the trace and the true client, and nothing the client made up', async () => {
    around.loginRoutes({ 'POST /v1/login': (_seen, response) => sendJson(response, 200, pair) });
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await post('/v1/login', credentials)
      .set({
        'x-request-id': 'req-1',
        traceparent,
        'x-forwarded-for': '203.0.113.9',
        cookie: 'a=b',
      })
      .expect(200);
    const { headers } = around.login.seen[0]!;
    expect(headers).toMatchObject({
      'x-request-id': 'req-1',
      traceparent,
      'x-forwarded-for': '127.0.0.1',
    });
    expect(headers.cookie).toBeUndefined();
  });

  it('gives a refusal of login as it is', async () => {
    around.loginRoutes({
      'POST /v1/login': (_seen, response) =>
        sendProblem(response, 401, 'INVALID_CREDENTIALS', { detail: 'Check both' }),
    });
    const refused = await post('/v1/login', credentials).set('x-request-id', 'req-2').expect(401);
    expect(refused.body).toEqual({
      type: 'urn:keyward:problem:invalid-credentials',
      title: 'The credentials are not valid',
      status: 401,
      code: 'INVALID_CREDENTIALS',
      detail: 'Check both',
      instance: '/v1/login',
      requestId: 'req-2',
    });
    around.loginRoutes({
      'POST /v1/login': (_seen, response) =>
        sendProblem(response, 429, 'TOO_MANY_REQUESTS', { headers: { 'retry-after': '17' } }),
    });
    const throttled = await post('/v1/login', credentials).expect(429);
    expect(throttled.headers['retry-after']).toBe('17');
    expect(throttled.body).toMatchObject({ code: 'TOO_MANY_REQUESTS' });
  });

  it.each([
    ['errs', (_seen, response) => sendProblem(response, 500, 'INTERNAL_ERROR')],
    ['is away', (_seen, response) => void response.destroy()],
    ['answers oddly', (_seen, response) => sendJson(response, 200, { token: 'x' })],
    ['refuses with what is no problem', (_seen, response) => sendJson(response, 403, {})],
    ['redirects', (_seen, response) => sendJson(response, 307, {}, { location: '/elsewhere' })],
  ] satisfies [string, Parameters<Surroundings['loginRoutes']>[0][string]][])(
    'answers 503 when login %s',
    async (_what, respond) => {
      around.loginRoutes({ 'POST /v1/login': respond });
      const response = await post('/v1/login', credentials).expect(503);
      expect(response.body).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
      expect(response.headers['retry-after']).toBe('1');
    },
  );

  it('passes on how long login wants to be left alone', async () => {
    around.loginRoutes({
      'POST /v1/login': (_seen, response) =>
        sendProblem(response, 503, 'SERVICE_UNAVAILABLE', { headers: { 'retry-after': '5' } }),
    });
    const response = await post('/v1/login', credentials).expect(503);
    expect(response.headers['retry-after']).toBe('5');
  });

  it('refuses what login could not take, without asking it', async () => {
    await post('/v1/login', { ...credentials, role: 'admin' }).expect(400);
    await post('/v1/login', { username: 'ada' }).expect(400);
    expect(around.login.seen).toEqual([]);
  });
});
