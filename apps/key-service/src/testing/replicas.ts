import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import supertest from 'supertest';
import type { Verdict, VerifyBody } from '#contracts';
import { createApp, createLogger } from '#server';
import { startRedis, type TestRedis } from '../../../../test/support/redis.js';
import { appOptions } from '../app-options.js';
import { keyServiceEnv } from '../config.js';
import { KEY_MATERIAL } from '../key-material.js';
import { Stores } from '../stores.js';
import { startIssuer, type TestIssuer } from './issuer.js';
import type { ManagementApp } from './management-app.js';
import { startPostgres, type TestPostgres } from './postgres.js';

/** Several key services over HTTP on one PostgreSQL and, unless it is left out, one Redis. */
export interface Replicas extends ManagementApp {
  redis: TestRedis;
  apps: readonly NestFastifyApplication[];
  /** Asks one replica, by its number, as `service-a`. */
  ask: (replica: number, body: VerifyBody, headers?: Record<string, string>) => Promise<Asked>;
  /**
   * Asks `count` times at once, the replicas in turn, and again where the answer is that nobody can decide just now.
   *
   * @returns how often each code was answered
   */
  flood: (count: number, body: VerifyBody) => Promise<Record<string, number>>;
  /** Resolves when every replica uses Redis, or none does. */
  redisInUse: (isUsed: boolean) => Promise<void>;
}

/** What a verification was answered with. */
export interface Asked {
  status: number;
  body: Verdict;
}

/** Starts them. `call` goes to the first. */
export async function startReplicas(count: number): Promise<Replicas> {
  const [postgres, issuer, redis] = await Promise.all([
    startPostgres(),
    startIssuer(),
    startRedis(),
  ]);
  const apps = await startApps(count, { postgres, issuer, redis });
  const ask = askerOf(apps, await issuer.service('service-a', 'keys:verify'));
  const redisInUse = (isUsed: boolean): Promise<void> =>
    until(() => apps.every((app) => (app.get(Stores).link?.runs != null) === isUsed));
  await redisInUse(true);
  const first = apps[0]!;
  return {
    ...{ app: first, apps, postgres, issuer, redis, ask, redisInUse },
    material: first.get(KEY_MATERIAL),
    call: (method, path, token) => {
      const request = supertest(first.getHttpServer())[method](path);
      return token === null ? request : request.set('authorization', `Bearer ${token}`);
    },
    flood: (times, body) => flood(ask, times, body),
    stop: async () => {
      await Promise.all(apps.map((app) => app.close()));
      await Promise.all([postgres.stop(), issuer.stop(), redis.remove()]);
    },
  };
}

function askerOf(apps: readonly NestFastifyApplication[], token: string): Replicas['ask'] {
  const urls = apps.map(urlOf);
  return async (replica, body, headers = {}) => {
    const answer = await fetch(`${urls[replica % urls.length]}/v1/keys/verify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as Verdict };
  };
}

async function flood(
  ask: Replicas['ask'],
  times: number,
  body: VerifyBody,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const decided = async (replica: number): Promise<void> => {
    const { status, body: verdict } = await ask(replica, body);
    if (status === 503) return decided(replica);
    counts[verdict.code] = (counts[verdict.code] ?? 0) + 1;
  };
  await Promise.all(Array.from({ length: times }, (_, i) => decided(i)));
  return counts;
}

async function startApps(
  count: number,
  parts: { postgres: TestPostgres; issuer: TestIssuer; redis: TestRedis },
): Promise<NestFastifyApplication[]> {
  const env = keyServiceEnv.parse({
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    KEY_SERVICE_DATABASE_URL: parts.postgres.runtimeUrl,
    KEY_SERVICE_SECRET: randomBytes(32).toString('base64'),
    KEY_PEPPERS: `1:${randomBytes(32).toString('base64')}`,
    LOGIN_URL: parts.issuer.url,
    REDIS_URL: parts.redis.url,
  });
  const apps = [];
  for (let i = 0; i < count; i += 1) {
    const options = appOptions(env, createLogger('key-service', env.LOG_LEVEL));
    const app = await createApp(options);
    await app.listen(0, '127.0.0.1');
    apps.push(app);
  }
  return apps;
}

function urlOf(app: NestFastifyApplication): string {
  return `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}
