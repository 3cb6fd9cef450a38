import { Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import type { KeyServiceEnv } from '../config.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { Stores } from '../stores.js';
import { LOG } from '../tokens.js';
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
      inject: [Stores, KEY_MATERIAL, LOG],
      useFactory: ({ hotPool, link, fence }: Stores, material: KeyMaterial, log: Logger) =>
        new Verifier({
          store: new RecordStore(hotPool),
          cache:
            link &&
            new RecordCache(link, {
              macKey: material.cacheKey,
              ttlSeconds: cacheTtlSeconds,
              graceSeconds: env.GRACE_SECONDS,
            }),
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
