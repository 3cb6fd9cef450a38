import {
  Inject,
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import { AccessModule } from '../access/access.module.js';
import type { KeyServiceEnv } from '../config.js';
import { createPool, databaseUrlOf } from '../database.js';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { Attempts } from '../attempts.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { Stores } from '../stores.js';
import { LOG } from '../tokens.js';
import { FOREIGN_KEYS } from '../verify/foreign-keys.js';
import { Candidates } from './candidates.js';
import { Exports } from './exports.js';
import { ExportsController } from './exports.controller.js';
import { ImportedKeys } from './imported-keys.js';
import { ImportRules } from './import-rules.js';
import { Imports } from './imports.js';
import { ImportsController } from './imports.controller.js';
import { LOOKUP_POOL } from './lookup-pool.js';
import { SlowGuesses } from './slow-guesses.js';
import { SlowPool } from './slow-pool.js';

const CONNECTIONS = 2;

/** Keys from other platforms. */
@Module({})
export class MigrationModule implements OnApplicationBootstrap, OnApplicationShutdown {
  private unsubscribe: () => void = () => undefined;

  constructor(
    private readonly rules: ImportRules,
    private readonly slowPool: SlowPool,
    private readonly stores: Stores,
    @Inject(LOOKUP_POOL) private readonly pool: Pool,
  ) {}

  static forRoot(env: KeyServiceEnv): DynamicModule {
    const pool = {
      provide: LOOKUP_POOL,
      inject: [LOG],
      useFactory: (log: Logger) => createPool(databaseUrlOf(env), CONNECTIONS, log),
    };
    const rules = {
      provide: ImportRules,
      inject: [LOOKUP_POOL, KEY_MATERIAL, LOG],
      useFactory: (pool: Pool, { peppers }: KeyMaterial, log: Logger) =>
        new ImportRules({ pool, peppers, log }),
    };
    const foreign = {
      provide: FOREIGN_KEYS,
      inject: [ImportRules, SlowPool, LOOKUP_POOL, KEY_MATERIAL, LOG],
      useFactory: (...parts: Parameters<typeof importedKeysOf>) => importedKeysOf(...parts),
    };
    return {
      module: MigrationModule,
      global: true,
      imports: [AccessModule, IdempotencyModule],
      controllers: [ImportsController, ExportsController],
      providers: [pool, rules, SlowPool, foreign, Imports, Exports],
      exports: [foreign, rules],
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.rules.refresh();
    this.unsubscribe = this.stores.follower.subscribe((told) => {
      if (told === 'anew' || told.some(({ action }) => action.startsWith('import.')))
        void this.rules.refresh();
    });
  }

  async onApplicationShutdown(): Promise<void> {
    this.unsubscribe();
    this.rules.stop();
    this.slowPool.close();
    await this.pool.end();
  }
}

function importedKeysOf(
  rules: ImportRules,
  slowPool: SlowPool,
  ...[pool, material, log]: [Pool, KeyMaterial, Logger]
): ImportedKeys {
  return new ImportedKeys({
    rules,
    candidates: new Candidates(pool, () => slowPool.isFull),
    guesses: new SlowGuesses({
      attempts: new Attempts({ burst: 10, perSecond: 2 }),
      pool: slowPool,
      now: () => material.now(),
    }),
    peppers: material.peppers,
    now: () => material.now(),
    log,
  });
}
