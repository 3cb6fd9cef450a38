import { Module, type DynamicModule } from '@nestjs/common';
import type pg from 'pg';
import type { Logger } from 'pino';
import { Fence } from '../changes/fence.js';
import type { KeyServiceEnv } from '../config.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import type { RedisLink } from '../redis-link.js';
import { HOT_POOL, LOG, REDIS_LINK } from '../tokens.js';
import { LocalLimits } from './local-limits.js';
import { RecordCache } from './record-cache.js';
import { RecordStore } from './record-store.js';
import { Verifier } from './verifier.js';

/** The hot path. */
@Module({})
export class VerifyModule {
  static forRoot(env: KeyServiceEnv): DynamicModule {
    const cacheTtlSeconds = env.CACHE_TTL_SECONDS;
    const verifier = {
      provide: Verifier,
      inject: [HOT_POOL, REDIS_LINK, Fence, KEY_MATERIAL, LOG],
      useFactory: (
        pool: pg.Pool,
        link: RedisLink | null,
        fence: Fence,
        ...[material, log]: [KeyMaterial, Logger]
      ) =>
        new Verifier({
          store: new RecordStore(pool),
          cache:
            link &&
            new RecordCache(link, { macKey: material.cacheKey, ttlSeconds: cacheTtlSeconds }),
          limits: new LocalLimits(),
          fence,
          material,
          cacheTtlSeconds,
          log,
        }),
    };
    return { module: VerifyModule, providers: [verifier], exports: [verifier] };
  }
}
