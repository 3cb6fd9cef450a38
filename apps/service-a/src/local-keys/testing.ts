import { randomBytes } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { AddressInfo } from 'node:net';
import { migrate } from '../../../../migrations/migrate.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { createServiceA, createSurroundings, type Surroundings } from '../testing/service-a.js';

/** service-a managing its own keys, on a real PostgreSQL. */
export interface LocalService {
  url: string;
  app: NestFastifyApplication;
  around: Surroundings;
  postgres: TestPostgres;
  env: Record<string, string>;
  admin: string;
  /** Calls it: `POST` with a body, `GET` without. */
  call: (
    path: string,
    options?: { token?: string; body?: object; headers?: object },
  ) => Promise<Told>;
  stop: () => Promise<void>;
}

/** An answer, its body as JSON. */
export interface Told {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

/** Starts it in mode `local`, or as `env` says. */
export async function startLocalService(env: Record<string, string> = {}): Promise<LocalService> {
  const [around, postgres] = await Promise.all([createSurroundings(), startPostgres()]);
  const databaseUrl = postgres.urlFor('service_a_app', 'only-for-this-test');
  await migrate({ ownerUrl: postgres.url, serviceAUrl: databaseUrl });
  const own = {
    ...around.env,
    SERVICE_A_KEYS: 'local',
    SERVICE_A_DATABASE_URL: databaseUrl,
    SERVICE_A_KEY_SECRET: randomBytes(32).toString('base64'),
    ...env,
  };
  const app = await createServiceA(own);
  await app.listen(0, '127.0.0.1');
  const url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
  return {
    ...{ url, app, around, postgres, env: own },
    admin: await around.token({ sub: 'usr_admin', roles: ['admin'] }),
    call: (path, options) => call(`${url}${path}`, options),
    stop: async () => {
      await app.close();
      await Promise.all([around.close(), postgres.remove()]);
    },
  };
}

async function call(
  url: string,
  { token, body, headers }: { token?: string; body?: object; headers?: object } = {},
): Promise<Told> {
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
  };
}
