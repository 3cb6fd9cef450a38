import {
  Inject,
  Module,
  type DynamicModule,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { namedDatabase } from '#postgres';
import { connectWithin, type ConnectWithinOptions } from '#server';
import { audiencesOf, databaseOf, issuerOf, type LoginEnv } from './config.js';
import { createDataSource } from './database.js';
import { ENV, LOG, SECRETS } from './injection.js';
import { loginSecretsOf } from './secrets.js';
import { LimitStorage } from './sessions/limit-storage.js';
import { AccessTokens } from './tokens/access-tokens.js';
import { createTokenKeys } from './tokens/create-token-keys.js';
import { TokenKeys } from './tokens/token-keys.js';

const START_WITHIN_MS = 30_000;
/** How the database is waited for. */
const WAITING = Symbol('WAITING');

/** The database, Redis and the signing keys: connected when the app starts, let go when it stops. */
@Module({})
export class StoresModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly db: DataSource,
    private readonly keys: TokenKeys,
    private readonly limits: LimitStorage,
    @Inject(WAITING) private readonly waiting: ConnectWithinOptions,
  ) {}

  static forRoot(env: LoginEnv, log: Logger): DynamicModule {
    const { variable, url } = databaseOf(env);
    const db = createDataSource(url, log);
    const database = namedDatabase(variable, url);
    const secrets = loginSecretsOf(env.LOGIN_SECRET);
    const keys = createTokenKeys(env, db, secrets.signingKeys);
    const providers = [
      { provide: ENV, useValue: env },
      { provide: LOG, useValue: log },
      { provide: WAITING, useValue: { limitMs: START_WITHIN_MS, log, database } },
      { provide: SECRETS, useValue: secrets },
      { provide: DataSource, useValue: db },
      { provide: TokenKeys, useValue: keys },
      {
        provide: AccessTokens,
        useValue: new AccessTokens(keys, { issuer: issuerOf(env), audiences: audiencesOf(env) }),
      },
      { provide: LimitStorage, useValue: new LimitStorage(env.REDIS_URL, log) },
    ];
    return { module: StoresModule, global: true, providers, exports: providers };
  }

  async onModuleInit(): Promise<void> {
    const connected = connectWithin(this.waiting, async () => {
      if (!this.db.isInitialized) await this.db.initialize();
      await this.keys.start();
    });
    await Promise.all([connected, this.limits.start()]);
  }

  async onApplicationShutdown(): Promise<void> {
    this.limits.stop();
    if (this.db.isInitialized) await this.db.destroy();
  }
}
