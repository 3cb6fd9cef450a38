import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { sendJson, sendProblem, type Respond } from '../../../../test/support/stub-server.js';
import { createServiceB, createSurroundings, type Surroundings } from '../testing/service-b.js';

const keyOf = (letter: string) => `kw_live_3kTMd7QpXvB2nYcF_${letter.repeat(49)}`;
const [oldKey, newKey] = [keyOf('O'), keyOf('N')];
const createdAt = '2027-01-31T12:00:00.000Z';
const page = {
  data: [
    { id: 'rpt_2', title: 'Second', createdAt },
    { id: 'rpt_1', title: 'First', createdAt },
  ],
  nextCursor: null,
};

describe('service-b', () => {
  let around: Surroundings;
  let app: NestFastifyApplication;
  let folder: string;
  let path: string;
  const answer = (respond: Respond) => around.serviceA.routes({ 'GET /v1/reports': respond });
  const keysSent = () => around.serviceA.seen.map((one) => one.headers['x-api-key']);
  const summary = async (headers: Record<string, string> = {}) =>
    request(app.getHttpServer())
      .get('/v1/summary')
      .set(headers)
      .auth(await around.token(), { type: 'bearer' });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'service-b-'));
    path = join(folder, 'key');
    await writeFile(path, `${oldKey}\n`);
    around = await createSurroundings();
    app = await createServiceB({ ...around.env, SERVICE_B_API_KEY_FILE: path });
    answer((_seen, response) => sendJson(response, 200, page));
  });
  afterEach(async () => {
    await app.close();
    await around.close();
    await rm(folder, { recursive: true });
  });

  it('sums up the reports of service-a for any user, with its own key and the trace', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const response = await summary({ 'x-request-id': 'req-1', traceparent });
    expect([response.status, response.body]).toEqual([
      200,
      { reports: 2, latest: 'Second', titles: ['Second', 'First'] },
    ]);
    const { headers } = around.serviceA.seen[0]!;
    expect(headers).toMatchObject({ 'x-api-key': oldKey, 'x-request-id': 'req-1', traceparent });
    expect(headers.authorization).toBeUndefined();
  });

  it('serves nobody without a token, and no key in its stead', async () => {
    const bare = request(app.getHttpServer());
    expect((await bare.get('/v1/summary')).body).toMatchObject({ code: 'UNAUTHENTICATED' });
    await bare.get('/v1/summary').set('x-api-key', oldKey).expect(401);
    expect(keysSent()).toEqual([]);
  });

  it('follows a rotation: a refused key is read anew, and the user notices nothing', async () => {
    await summary();
    answer(({ headers }, response) => {
      if (headers['x-api-key'] === newKey) sendJson(response, 200, page);
      else {
        // The new key arrives while the old one is on its way.
        void writeFile(path, newKey).then(() => sendProblem(response, 403, 'API_KEY_REVOKED'));
      }
    });
    expect((await summary()).status).toBe(200);
    expect((await summary()).status).toBe(200);
    expect(keysSent()).toEqual([oldKey, oldKey, newKey, newKey]);
  });

  it.each(['API_KEY_REVOKED', 'API_KEY_INVALID', 'API_KEY_EXPIRED', 'INSUFFICIENT_SCOPE'])(
    'answers 502 when its key is refused with %s, asks once, and tells nothing of the key',
    async (code) => {
      answer((_seen, response) => sendProblem(response, 403, code));
      const response = await summary({ 'x-request-id': 'req-1' });
      expect([response.status, response.body]).toEqual([
        502,
        {
          type: 'urn:keyward:problem:upstream-refused',
          title: 'A service behind this one refused us',
          status: 502,
          code: 'UPSTREAM_REFUSED',
          detail: 'The reports cannot be read; the operators of this service have to look into it',
          instance: '/v1/summary',
          requestId: 'req-1',
        },
      ]);
      expect(keysSent()).toEqual([oldKey]);
    },
  );

  it.each([
    ['over a limit', { status: 429, code: 'RATE_LIMITED', says: '30', told: '30' }],
    ['no verdict', { status: 503, code: 'VERIFICATION_UNAVAILABLE', says: '2', told: '2' }],
    ['an error', { status: 500, code: 'INTERNAL_ERROR', says: '', told: '1' }],
    ['an odd wait', { status: 503, code: 'SERVICE_UNAVAILABLE', says: 'soon', told: '1' }],
  ])('answers 503 when service-a answers %s, and does not ask again', async (_what, one) => {
    answer((_seen, response) =>
      sendProblem(response, one.status, one.code, { headers: { 'retry-after': one.says } }),
    );
    const response = await summary();
    expect(response.body).toMatchObject({ status: 503, code: 'SERVICE_UNAVAILABLE' });
    expect(response.headers['retry-after']).toBe(one.told);
    expect(keysSent()).toHaveLength(1);
  });

  it.each([
    ['breaks off', (_seen, response) => void response.destroy()],
    ['answers oddly', (_seen, response) => sendJson(response, 200, { data: 'x' })],
    ['answers no JSON', (_seen, response) => void response.end('<html>')],
  ] satisfies [string, Respond][])('answers 503 when service-a %s', async (_what, respond) => {
    answer(respond);
    const response = await summary();
    expect(response.body).toMatchObject({ status: 503, code: 'SERVICE_UNAVAILABLE' });
  });

  it('answers 503 while it has no key, and works as soon as there is one', async () => {
    const late = join(folder, 'late');
    const other = await createServiceB({ ...around.env, SERVICE_B_API_KEY_FILE: late });
    const call = async () =>
      request(other.getHttpServer())
        .get('/v1/summary')
        .auth(await around.token(), { type: 'bearer' });
    expect((await call()).body).toMatchObject({ status: 503, code: 'SERVICE_UNAVAILABLE' });
    await writeFile(late, newKey);
    expect((await call()).status).toBe(200);
    await other.close();
  });

  it('tells an admin which key and secret it uses, and never the key', async () => {
    const status = async (...roles: ('admin' | 'user')[]) =>
      request(app.getHttpServer())
        .get('/v1/key-status')
        .auth(await around.token({ roles }), { type: 'bearer' });
    expect((await status('user')).status).toBe(403);
    const before = await status('admin');
    expect(before.body).toEqual({
      configured: true,
      keyId: 'key_3kTMd7QpXvB2nYcF',
      secretVersion: expect.stringMatching(/^[0-9a-f]{8}$/) as string,
      source: 'file',
      refreshedAt: expect.any(String) as string,
    });
    await writeFile(path, newKey);
    const after = await status('admin');
    expect(after.body).toMatchObject({ configured: true, keyId: 'key_3kTMd7QpXvB2nYcF' });
    const versionOf = (response: request.Response) =>
      (response.body as { secretVersion: string }).secretVersion;
    expect(versionOf(after)).not.toBe(versionOf(before));
    expect(after.text).not.toContain('N'.repeat(8));
  });

  it('takes its key from the environment as well', async () => {
    const other = await createServiceB({ ...around.env, SERVICE_B_API_KEY: newKey });
    const token = await around.token({ roles: ['admin'] });
    const call = (route: string) =>
      request(other.getHttpServer()).get(route).auth(token, { type: 'bearer' });
    await call('/v1/summary').expect(200);
    expect(keysSent()).toEqual([newKey]);
    expect((await call('/v1/key-status')).body).toMatchObject({ configured: true, source: 'env' });
    await other.close();
  });

  it('does not start without either', async () => {
    await expect(createServiceB(around.env)).rejects.toThrow('SERVICE_B_API_KEY');
  });
});
