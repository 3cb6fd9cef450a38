import { setTimeout as delay } from 'node:timers/promises';
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
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { LOG } from '../tokens.js';
import { Fold } from './fold.js';
import { Housekeeping } from './housekeeping.js';
import { Partitions } from './partitions.js';
import { UsageController } from './usage.controller.js';
import { UsageIntake } from './usage-intake.js';
import { Usage } from './usage.js';

/** Injection token of usage's own connections: for the counts, for rolling up, and for what guards report. */
export const USAGE_POOL = Symbol('USAGE_POOL');
const CONNECTIONS = 3;
const STATEMENT_MS = 10_000;
const STOP_WITHIN_MS = 9_000;

/** Counting and reading usage. What was counted is written before the app ends. */
@Module({})
export class UsageModule implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    private readonly usage: Usage,
    private readonly housekeeping: Housekeeping,
    @Inject(USAGE_POOL) private readonly pool: Pool,
  ) {}

  static forRoot(env: KeyServiceEnv): DynamicModule {
    const pool = {
      provide: USAGE_POOL,
      inject: [LOG],
      useFactory: (log: Logger) =>
        createPool(databaseUrlOf(env), CONNECTIONS, log, { statementMs: STATEMENT_MS }),
    };
    const partitions = {
      provide: Partitions,
      inject: [USAGE_POOL],
      useFactory: (pool: Pool) => new Partitions(pool),
    };
    const usage = {
      provide: Usage,
      inject: [USAGE_POOL, Partitions, KEY_MATERIAL, LOG],
      useFactory: (pool: Pool, ...[partitions, material, log]: [Partitions, KeyMaterial, Logger]) =>
        new Usage({ pool, fold: new Fold(pool, partitions), log, now: () => material.now() }),
    };
    const housekeeping = {
      provide: Housekeeping,
      inject: [USAGE_POOL, Partitions, KEY_MATERIAL, LOG],
      useFactory: (pool: Pool, ...[partitions, material, log]: [Partitions, KeyMaterial, Logger]) =>
        new Housekeeping({ pool, log, partitions, now: () => material.now() }),
    };
    const intake = {
      provide: UsageIntake,
      inject: [USAGE_POOL, KEY_MATERIAL],
      useFactory: (pool: Pool, material: KeyMaterial) =>
        new UsageIntake({ pool, now: () => material.now() }),
    };
    return {
      module: UsageModule,
      global: true,
      imports: [AccessModule],
      controllers: [UsageController],
      providers: [pool, partitions, usage, housekeeping, intake],
      exports: [usage, intake],
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.usage.start();
    this.housekeeping.start();
  }

  /** A statement that does not come back is left to the end of the process. */
  async onApplicationShutdown(): Promise<void> {
    const stopped = Promise.all([this.housekeeping.stop(), this.usage.stop()]);
    const end = delay(STOP_WITHIN_MS, undefined, { ref: false });
    await Promise.race([stopped.then(() => this.pool.end()), end]);
  }
}
