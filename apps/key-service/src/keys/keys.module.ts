import { Module, type DynamicModule } from '@nestjs/common';
import { AccessModule } from '../access/access.module.js';
import type { KeyServiceEnv } from '../config.js';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { CreationRate } from './creation-rate.js';
import { Deliveries } from './deliveries.js';
import { Keys } from './keys.js';
import { KeysController } from './keys.controller.js';
import { RevokeKeysController } from './revoke-keys.controller.js';
import { RotationController } from './rotation.controller.js';
import { Rotations } from './rotations.js';

/** The life of keys. */
@Module({})
export class KeysModule {
  static forRoot({ KEY_CREATIONS_PER_MINUTE: perMinute }: KeyServiceEnv): DynamicModule {
    const rate = { provide: CreationRate, useValue: new CreationRate(perMinute) };
    return {
      module: KeysModule,
      global: true,
      imports: [AccessModule, IdempotencyModule],
      controllers: [KeysController, RevokeKeysController, RotationController],
      providers: [Deliveries, rate, Keys, Rotations],
      exports: [Keys],
    };
  }
}
