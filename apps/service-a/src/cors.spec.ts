import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import request from 'supertest';
import { createServiceA, createSurroundings, type Surroundings } from './testing/service-a.js';

describe('pages of another origin', () => {
  let around: Surroundings;
  let app: NestFastifyApplication;
  const listed = 'https://console.example';
  const preflight = (origin: string, method: string) =>
    request(app.getHttpServer())
      .options('/v1/api-keys')
      .set({ origin, 'access-control-request-method': method });

  beforeAll(async () => {
    around = await createSurroundings();
    app = await createServiceA({ ...around.env, CORS_ORIGINS: listed });
  });
  afterAll(async () => {
    await app.close();
    await around.close();
  });

  it.each(['GET', 'POST', 'PATCH', 'DELETE'])('that is listed may use %s', async (method) => {
    const { headers } = await preflight(listed, method);
    expect(headers['access-control-allow-origin']).toBe(listed);
    expect(headers['access-control-allow-methods']?.split(/, */)).toContain(method);
    expect(headers['access-control-allow-credentials']).toBeUndefined();
  });

  it('that is listed may read what a client needs of the headers', async () => {
    const { headers } = await request(app.getHttpServer())
      .get('/v1/reports')
      .set({ origin: listed });
    const readable = headers['access-control-expose-headers']?.toLowerCase().split(/, */);
    expect(readable).toEqual(expect.arrayContaining(['etag', 'retry-after', 'x-request-id']));
  });

  it.each([`${listed}.evil`, 'http://console.example', 'null'])(
    '%s may nothing',
    async (origin) => {
      const { headers } = await preflight(origin, 'POST');
      expect(headers['access-control-allow-origin']).toBeUndefined();
    },
  );
});
