import {
  Inject,
  Module,
  type DynamicModule,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import type pg from 'pg';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { Fence } from './changes/fence.js';
import { Follower } from './changes/follower.js';
import { Mutations } from './changes/mutations.js';
import type { KeyServiceEnv } from './config.js';
import { connectWithin, createDataSource, createPool, databaseUrlOf } from './database.js';
import { KEY_MATERIAL, keyMaterialOf } from './key-material.js';
import { ENTITIES } from './entities.js';
import { RedisLink } from './redis-link.js';
import { FENCE_POOL, HOT_POOL, LOG, REDIS_LINK } from './tokens.js';

const START_WITHIN_MS = 30_000;

/** PostgreSQL and Redis, and what keeps them coherent: connected when the app starts, let go when it stops. */
@Module({})
export class StoresModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly db: DataSource,
    private readonly fence: Fence,
    private readonly follower: Follower,
    @Inject(HOT_POOL) private readonly hotPool: pg.Pool,
    @Inject(FENCE_POOL) private readonly fencePool: pg.Pool,
    @Inject(REDIS_LINK) private readonly link: RedisLink | null,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  static forRoot(env: KeyServiceEnv, log: Logger): DynamicModule {
    const url = databaseUrlOf(env);
    const link = env.REDIS_URL === undefined ? null : new RedisLink(env.REDIS_URL, log);
    const fencePool = createPool(url, 2, log);
    const wake = (): Promise<void> => fence.poll();
    const follower = new Follower({ pool: fencePool, databaseUrl: url, link, log, wake });
    const onHead = (head: number): void => void follower.follow(head);
    const fence = new Fence({
      pool: fencePool,
      link,
      log,
      graceSeconds: env.GRACE_SECONDS,
      onHead,
    });
    const providers = [
      { provide: LOG, useValue: log },
      { provide: KEY_MATERIAL, useValue: keyMaterialOf(env) },
      { provide: DataSource, useValue: createDataSource(url, ENTITIES) },
      { provide: HOT_POOL, useValue: createPool(url, 8, log) },
      { provide: FENCE_POOL, useValue: fencePool },
      { provide: REDIS_LINK, useValue: link },
      { provide: Fence, useValue: fence },
      { provide: Follower, useValue: follower },
      Mutations,
    ];
    return { module: StoresModule, global: true, providers, exports: providers };
  }

  async onModuleInit(): Promise<void> {
    if (this.link === null) {
      this.log.warn(
        'REDIS_URL is not set: records are not cached and rate limits count in this process only',
      );
    }
    await connectWithin(START_WITHIN_MS, this.log, async () => {
      if (!this.db.isInitialized) await this.db.initialize();
      await this.fence.start();
    });
    this.follower.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.follower.stop();
    await this.fence.stop();
    this.link?.close();
    if (this.db.isInitialized) await this.db.destroy();
    await Promise.all([this.hotPool.end(), this.fencePool.end()]);
  }
}
