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
import { LOOKUP_POOL, RULES_POOL } from './lookup-pool.js';
import { SlowGuesses } from './slow-guesses.js';
import { SlowLocators } from './slow-locators.js';
import { SlowPool } from './slow-pool.js';

const CONNECTIONS = 2;

/** Keys from other platforms. */
@Module({})
export class MigrationModule implements OnApplicationBootstrap, OnApplicationShutdown {
  @Inject(LOOKUP_POOL) private readonly pool!: Pool;
  @Inject(FOREIGN_KEYS) private readonly keys!: ImportedKeys;
  private unsubscribe: () => void = () => undefined;

  constructor(
    private readonly rules: ImportRules,
    private readonly slowPool: SlowPool,
    private readonly slow: SlowLocators,
    private readonly stores: Stores,
  ) {}

  static forRoot(env: KeyServiceEnv): DynamicModule {
    const poolOf = (token: symbol, connections: number) => ({
      provide: token,
      inject: [LOG],
      useFactory: (log: Logger) => createPool(databaseUrlOf(env), connections, log),
    });
    const rules = {
      provide: ImportRules,
      inject: [RULES_POOL, Stores, KEY_MATERIAL, LOG],
      useFactory: (pool: Pool, { fence }: Stores, { peppers }: KeyMaterial, log: Logger) =>
        new ImportRules({ pool, fence, peppers, log }),
    };
    const foreign = {
      provide: FOREIGN_KEYS,
      inject: [ImportRules, SlowPool, SlowLocators, LOOKUP_POOL, KEY_MATERIAL, LOG],
      useFactory: (...parts: Parameters<typeof importedKeysOf>) => importedKeysOf(...parts),
    };
    return {
      module: MigrationModule,
      global: true,
      imports: [AccessModule, IdempotencyModule],
      controllers: [ImportsController, ExportsController],
      providers: [
        poolOf(LOOKUP_POOL, CONNECTIONS),
        poolOf(RULES_POOL, 1),
        ...[rules, SlowPool, SlowLocators, foreign, Imports, Exports],
      ],
      exports: [foreign, rules],
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.rules.tryRefresh();
    this.stores.fence.attend(this.rules);
    this.unsubscribe = this.stores.follower.subscribe((told) => {
      const isTold = (what: RegExp): boolean =>
        told === 'anew' || told.some(({ action }) => what.test(action));
      if (told === 'anew') this.keys.forget();
      if (isTold(/^import\./)) void this.rules.tryRefresh();
      if (isTold(/^import\.|^key\.hash_upgraded$/)) this.slow.forget();
    });
  }

  async onApplicationShutdown(): Promise<void> {
    this.unsubscribe();
    this.slowPool.close();
    await Promise.all([this.pool.end(), this.rules.close()]);
  }
}

function importedKeysOf(
  rules: ImportRules,
  slowPool: SlowPool,
  slow: SlowLocators,
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
    slow,
    peppers: material.peppers,
    now: () => material.now(),
    log,
  });
}
