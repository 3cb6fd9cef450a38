import {
  Module,
  type DynamicModule,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import type { DatabaseClock } from './changes/database-clock.js';
import { Fence } from './changes/fence.js';
import { Mutations } from './changes/mutations.js';
import type { KeyServiceEnv } from './config.js';
import { KEY_MATERIAL, keyMaterialOf } from './key-material.js';
import { Stores } from './stores.js';
import { LOG } from './tokens.js';

/** The stores for everybody: connected when the app starts, let go when it stops. */
@Module({})
export class StoresModule implements OnModuleInit, OnApplicationShutdown {
  constructor(private readonly stores: Stores) {}

  static forRoot(env: KeyServiceEnv, log: Logger, clock: DatabaseClock): DynamicModule {
    const stores = new Stores(env, log, clock);
    const providers = [
      { provide: LOG, useValue: log },
      { provide: KEY_MATERIAL, useValue: keyMaterialOf(env, clock.now) },
      { provide: Stores, useValue: stores },
      { provide: DataSource, useValue: stores.db },
      { provide: Fence, useValue: stores.fence },
      {
        provide: Mutations,
        useValue: new Mutations({
          db: stores.db,
          fence: stores.fence,
          markers: stores.markers,
          isOverwritten: () => stores.isOverwritten(),
          cacheTtlSeconds: env.CACHE_TTL_SECONDS,
          log,
        }),
      },
    ];
    return { module: StoresModule, global: true, providers, exports: providers };
  }

  onModuleInit(): Promise<void> {
    return this.stores.connect();
  }

  onApplicationShutdown(): Promise<void> {
    return this.stores.close();
  }
}
