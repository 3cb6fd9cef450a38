import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import supertest from 'supertest';
import { createApp, createLogger } from '#server';
import { appOptions } from '../app-options.js';
import { keyServiceEnv } from '../config.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { startIssuer, type TestIssuer } from './issuer.js';
import { startPostgres, type TestPostgres } from './postgres.js';

/** The key service over HTTP, on a real PostgreSQL and with real tokens; with Redis where a test brings one. */
export interface ManagementApp {
  app: NestFastifyApplication;
  postgres: TestPostgres;
  issuer: TestIssuer;
  /** Peppers, randomness and the clock, which a test may replace. */
  material: KeyMaterial;
  /** A request with a token; without one where it is null. */
  call: (method: Method, path: string, token: string | null) => supertest.Test;
  stop: () => Promise<void>;
}

export type Method = 'get' | 'post' | 'patch' | 'delete' | 'put' | 'head';

/**
 * Starts it; the database is reached as the role that the service runs as. Without a URL it has no Redis.
 *
 * @param beside another one, or what it would need: on that database it runs, which is to be stopped after it
 * @param log where a test reads it; silent by default
 */
export async function startManagement(
  redisUrl?: string,
  more: Record<string, string> = {},
  beside?: Pick<ManagementApp, 'postgres' | 'issuer'>,
  log = createLogger('key-service', 'silent'),
): Promise<ManagementApp> {
  const [postgres, issuer] = beside
    ? [beside.postgres, beside.issuer]
    : await Promise.all([startPostgres(), startIssuer()]);
  const env = keyServiceEnv.parse({
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    KEY_SERVICE_DATABASE_URL: postgres.runtimeUrl,
    KEY_SERVICE_SECRET: randomBytes(32).toString('base64'),
    KEY_PEPPERS: `1:${randomBytes(32).toString('base64')}`,
    LOGIN_URL: issuer.url,
    ...(redisUrl !== undefined && { REDIS_URL: redisUrl }),
    ...more,
  });
  const options = appOptions(env, log);
  const app = await createApp(options);
  return {
    app,
    postgres,
    issuer,
    material: app.get(KEY_MATERIAL),
    call: (method, path, token) => {
      const request = supertest(app.getHttpServer())[method](path);
      return token === null ? request : request.set('authorization', `Bearer ${token}`);
    },
    stop: async () => {
      await app.close();
      if (beside === undefined) await Promise.all([postgres.stop(), issuer.stop()]);
    },
  };
}
