import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { Module, type DynamicModule } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import supertest from 'supertest';
import { DataSource } from 'typeorm';
import { parsePeppers } from '#key-core';
import { JwtGuardModule } from '#jwt-guard';
import { createApp, createLogger, serverEnv } from '#server';
import { ACTOR_TOKENS, createActorTokens } from '../access/actor-tokens.js';
import { ConsumerEntity } from '../catalog/consumer.entity.js';
import { Consumers } from '../catalog/consumers.js';
import { ConsumersController } from '../catalog/consumers.controller.js';
import { ServiceEntity } from '../catalog/service.entity.js';
import { Services } from '../catalog/services.js';
import { ServicesController } from '../catalog/services.controller.js';
import { Mutations } from '../changes/mutations.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { KeyEntity } from '../keys/key.entity.js';
import { KeyGrantEntity } from '../keys/key-grant.entity.js';
import { Keys } from '../keys/keys.js';
import { KeysController } from '../keys/keys.controller.js';
import { SecretEntity } from '../keys/secret.entity.js';
import { startIssuer, type TestIssuer } from './issuer.js';
import { startPostgres, type TestPostgres } from './postgres.js';

@Module({})
class ManagementModule {}

/** The management side of the key service over HTTP, on a real PostgreSQL and with real tokens. */
export interface ManagementApp {
  app: NestFastifyApplication;
  postgres: TestPostgres;
  issuer: TestIssuer;
  /** Peppers, randomness and the clock, which tests may replace. */
  material: KeyMaterial;
  /** A request with a token; without one where it is null. */
  call: (method: Method, path: string, token: string | null) => supertest.Test;
  stop: () => Promise<void>;
}

type Method = 'get' | 'post' | 'patch' | 'delete' | 'put';

/** Starts it; the database is reached as the role that the service runs as. */
export async function startManagement(): Promise<ManagementApp> {
  const [postgres, issuer] = await Promise.all([startPostgres(), startIssuer()]);
  const material = makeMaterial();
  const db = await connect(postgres.runtimeUrl);
  const app = await createApp({
    name: 'key-service',
    module: moduleOf(db, issuer, material),
    env: serverEnv.parse({ NODE_ENV: 'test', LOG_LEVEL: 'silent' }),
    log: createLogger('key-service', 'silent'),
    port: 0,
    portVariable: 'KEY_SERVICE_PORT',
    openApi: { title: 'key-service', description: 'Test' },
  });
  return {
    app,
    postgres,
    issuer,
    material,
    call: (method, path, token) => {
      const request = supertest(app.getHttpServer())[method](path);
      return token === null ? request : request.set('authorization', `Bearer ${token}`);
    },
    stop: async () => {
      await app.close();
      await db.destroy();
      await Promise.all([postgres.stop(), issuer.stop()]);
    },
  };
}

function connect(url: string): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [ServiceEntity, ConsumerEntity, KeyEntity, KeyGrantEntity, SecretEntity],
    poolSize: 10,
    extra: { statement_timeout: 5_000 },
  }).initialize();
}

function makeMaterial(): KeyMaterial {
  return {
    peppers: parsePeppers(`1:${randomBytes(32).toString('base64')}`),
    cursorKey: randomBytes(32),
    cacheKey: randomBytes(32),
    idempotencyKey: randomBytes(32),
    random: randomBytes,
    now: Date.now,
  };
}

function moduleOf(db: DataSource, issuer: TestIssuer, material: KeyMaterial): DynamicModule {
  const from = { issuer: issuer.url, jwksUrl: issuer.jwksUrl };
  return {
    module: ManagementModule,
    imports: [JwtGuardModule.forRoot({ ...from, audience: 'key-service' })],
    controllers: [ServicesController, ConsumersController, KeysController],
    providers: [
      { provide: DataSource, useValue: db },
      { provide: KEY_MATERIAL, useValue: material },
      { provide: ACTOR_TOKENS, useValue: createActorTokens(from) },
      Mutations,
      Services,
      Consumers,
      Keys,
    ],
  };
}
