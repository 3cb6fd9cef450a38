import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import request from 'supertest';
import type { ReportPage, VerdictCode } from '#contracts';
import { sendJson, sendProblem } from '../../../../test/support/stub-server.js';
import { createServiceA, createSurroundings, type Surroundings } from '../testing/service-a.js';

const secret = `kw_live_3kTMd7QpXvB2nYcF_${'S'.repeat(49)}`;
const decision = {
  source: 'store',
  asOf: '2027-01-31T12:00:00.000Z',
  ttlSeconds: 60,
  version: 1,
};

const ofKey = {
  keyId: 'key_3kTMd7QpXvB2nYcF',
  secretNumber: 1,
  consumer: 'service-b',
  environment: 'live',
  scopes: ['reports:*'],
};

describe('reports behind API keys', () => {
  let around: Surroundings;
  let app: NestFastifyApplication;
  const decide = (code: VerdictCode) =>
    around.keyService.routes({
      'POST /v1/keys/verify': (_seen, response) =>
        sendJson(response, 200, { valid: code === 'VALID', code, ...ofKey, decision }),
    });
  const asked = () => around.keyService.seen.map((one) => one.body);
  const get = (path: string) => request(app.getHttpServer()).get(path).set('x-api-key', secret);

  const write = (body: object, idempotencyKey?: string) => {
    const sent = request(app.getHttpServer()).post('/v1/reports').set('x-api-key', secret);
    if (idempotencyKey !== undefined) void sent.set('idempotency-key', idempotencyKey);
    return sent.send(body);
  };

  beforeEach(async () => {
    around = await createSurroundings();
    app = await createServiceA(around.env);
    decide('VALID');
  });
  afterEach(async () => {
    await app.close();
    await around.close();
  });

  it('takes keys of another environment where it is set to, and then no others', async () => {
    await app.close();
    app = await createServiceA({ ...around.env, SERVICE_A_ENVIRONMENT: 'test' });
    const answer = { valid: true, code: 'VALID', ...ofKey, decision };
    around.keyService.routes({
      'POST /v1/keys/verify': ({ body }, response) => {
        const { environment } = body as { environment: string };
        sendJson(response, 200, { ...answer, environment });
      },
    });
    await get('/v1/reports').expect(200);
    expect(asked()).toMatchObject([{ environment: 'test' }]);
    decide('VALID');
    await get('/v1/reports').expect(503);
  });

  it('lists reports page by page, the newest first', async () => {
    const all = (await get('/v1/reports').expect(200)).body as ReportPage;
    expect(all).toEqual({
      data: Array.from({ length: 3 }, () => ({
        id: expect.stringMatching(/^rpt_[0-9a-f]{16}$/) as string,
        title: expect.any(String) as string,
        createdAt: expect.any(String) as string,
      })),
      nextCursor: null,
    });
    const first = (await get('/v1/reports?limit=2').expect(200)).body as ReportPage;
    const cursor = encodeURIComponent(first.nextCursor!);
    const second = (await get(`/v1/reports?limit=2&cursor=${cursor}`).expect(200))
      .body as ReportPage;
    expect([...first.data, ...second.data]).toEqual(all.data);
    expect(second.nextCursor).toBeNull();
  });

  it.each(['x', 'YmVmb3JlOjI', '..', '00'.repeat(33), `${'a'.repeat(64)}32`])(
    'refuses the cursor %s, which is not one of its own',
    async (cursor) => {
      const response = await get(`/v1/reports?cursor=${cursor}`).expect(400);
      expect(response.body).toMatchObject({ code: 'INVALID_CURSOR' });
    },
  );

  it.each(['0', '201', '-1', '1e2', '1.5', ''])('refuses the page size %j', async (limit) => {
    const response = await get(`/v1/reports?limit=${limit}`);
    expect(response.body).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
  });

  it('asks for the scope that each route needs', async () => {
    const [report] = ((await get('/v1/reports').expect(200)).body as ReportPage).data;
    expect((await get(`/v1/reports/${report!.id}`).expect(200)).body).toEqual(report);
    const created = await request(app.getHttpServer())
      .post('/v1/reports')
      .set('x-api-key', secret)
      .send({ title: 'Written by key' })
      .expect(201);
    expect(created.body).toMatchObject({ title: 'Written by key' });
    const question = {
      key: secret,
      clientIp: '127.0.0.1',
      service: 'service-a',
      environment: 'live',
    };
    expect(asked()).toEqual([
      { ...question, scopes: ['reports:read'] },
      { ...question, scopes: ['reports:read'] },
      { ...question, scopes: ['reports:write'] },
    ]);
    expect((await get(`/v1/reports/${created.body.id as string}`)).body).toEqual(created.body);
  });

  it('sends the address of a new report, and the same ETag wherever it is shown alone', async () => {
    const created = await write({ title: 'Tagged' });
    const { location, etag } = created.headers as { location: string; etag: string };
    expect(location).toBe(`/v1/reports/${created.body.id as string}`);
    const read = await get(location).expect(200);
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    expect(read.headers['etag']).toBe(etag);
    expect((await write({ title: 'Tagged' })).headers['etag']).not.toBe(etag);
  });

  it('writes a report once for an Idempotency-Key of an API key', async () => {
    const first = await write({ title: 'Once' }, 'one');
    const second = await write({ title: 'Once' }, 'one');
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.body).toEqual(first.body);
    const replayed = (answer: request.Response) => answer.headers['idempotency-replayed'];
    expect([replayed(first), replayed(second)]).toEqual([undefined, 'true']);
    const other = await write({ title: 'Other' }, 'one');
    expect([other.status, other.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    expect((await write({ title: 'Once' }, 'a b')).status).toBe(400);
    around.keyService.routes({
      'POST /v1/keys/verify': (_seen, response) =>
        sendJson(response, 200, {
          ...{ valid: true, code: 'VALID', ...ofKey, decision },
          keyId: 'key_9kTMd7QpXvB2nYcF',
        }),
    });
    const theirs = await write({ title: 'Other' }, 'one');
    expect([theirs.status, replayed(theirs)]).toEqual([201, undefined]);
    const { data } = (await get('/v1/reports?limit=200')).body as ReportPage;
    expect(data).toHaveLength(5);
  });

  it('answers 404 for a report that is not there', async () => {
    expect((await get('/v1/reports/rpt_0').expect(404)).body).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('answers 401 to a call without a key, 400 where one is in a wrong place', async () => {
    const bare = request(app.getHttpServer());
    const response = await bare.get('/v1/reports').set('x-request-id', 'req-1').expect(401);
    expect(response.headers['www-authenticate']).toBe('ApiKey');
    expect(response.body).toEqual({
      type: 'urn:keyward:problem:api-key-missing',
      title: 'An API key is required',
      status: 401,
      code: 'API_KEY_MISSING',
      detail: 'Send the key in the x-api-key header',
      instance: '/v1/reports',
      requestId: 'req-1',
    });
    await bare.get('/v1/reports').set('x-api-key', '  ').expect(401);
    await bare.get('/v1/reports').auth('user', secret).expect(401);
    for (const misplaced of [
      bare.get('/v1/reports').set('cookie', `x-api-key=${secret}`),
      bare.post('/v1/reports').send({ title: 'x', 'x-api-key': secret }),
      bare.get(`/v1/reports?x-api-key=${secret}`),
    ])
      expect((await misplaced.expect(400)).body).toMatchObject({ code: 'KEY_IN_WRONG_PLACE' });
    expect(asked()).toEqual([]);
  });

  it('answers 401 to a user, and 400 to a user with a key', async () => {
    const token = await around.token({ roles: ['admin'] });
    const bare = request(app.getHttpServer());
    await bare.get('/v1/reports').auth(token, { type: 'bearer' }).expect(401);
    const both = await get('/v1/reports').auth(token, { type: 'bearer' }).expect(400);
    expect(both.body).toMatchObject({ code: 'INVALID_HEADER' });
    expect(asked()).toEqual([]);
  });

  it.each([
    ['two keys', { 'x-api-key': [secret, 'other'] }],
    ['the same key twice', { 'x-api-key': [secret, secret] }],
    ['a list of keys', { 'x-api-key': `${secret}, other` }],
    ['bytes that no key has', { 'x-api-key': 'k\u00e9y' }],
    ['two Authorization headers', { authorization: ['Bearer a', 'Bearer b'] }],
  ])('answers 400 to %s, and asks nobody', async (_what, headers) => {
    const response = await request(app.getHttpServer())
      .get('/v1/reports')
      .set(headers as never);
    expect(response.body).toMatchObject({ status: 400, code: 'INVALID_HEADER' });
    expect(asked()).toEqual([]);
  });

  it('tells a malformed key, an unknown one and one that is too long apart by nothing', async () => {
    const answerTo = async (key: string) => {
      const response = await request(app.getHttpServer())
        .get('/v1/reports')
        .set({ 'x-api-key': key, 'x-request-id': 'same' });
      const { date: _, ...headers } = response.headers;
      return { status: response.status, headers, text: response.text };
    };
    decide('MALFORMED');
    const malformed = await answerTo('junk');
    decide('NOT_FOUND');
    expect(await answerTo(secret)).toEqual(malformed);
    expect(await answerTo('k'.repeat(8_000))).toEqual(malformed);
    expect(malformed).toMatchObject({
      status: 403,
      text: JSON.stringify({
        type: 'urn:keyward:problem:api-key-invalid',
        title: 'The API key is not valid',
        status: 403,
        code: 'API_KEY_INVALID',
        detail: 'Send a key that was issued for this service',
        instance: '/v1/reports',
        requestId: 'same',
      }),
    });
  });

  it('answers 503 when nobody can decide, and when login is away on a cold start', async () => {
    around.keyService.routes({
      'POST /v1/keys/verify': (_seen, response) =>
        sendProblem(response, 503, 'VERIFICATION_UNAVAILABLE'),
    });
    const undecided = await get('/v1/reports').expect(503);
    expect(undecided.headers['retry-after']).toBe('1');
    expect(undecided.body).toMatchObject({ code: 'VERIFICATION_UNAVAILABLE' });
    const cold = await createServiceA({ ...around.env, LOGIN_URL: 'http://127.0.0.1:1' });
    const response = await request(cold.getHttpServer())
      .get('/v1/reports')
      .set('x-api-key', secret)
      .expect(503);
    expect(response.body).toMatchObject({ code: 'VERIFICATION_UNAVAILABLE' });
    await cold.close();
  });

  it('is ready whatever else is away, and describes itself', async () => {
    await request(app.getHttpServer()).get('/health/ready').expect(200);
    const { body } = await request(app.getHttpServer()).get('/openapi.json').expect(200);
    expect(Object.keys((body as { paths: object }).paths)).toEqual([
      '/v1/api-keys',
      '/v1/api-keys/{id}/revoke',
      '/v1/api-keys/{id}/rotate',
      '/v1/login',
      '/v1/logout',
      '/v1/reports',
      '/v1/reports/{id}',
      '/v1/token/refresh',
    ]);
  });
});
