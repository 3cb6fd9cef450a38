import { Module } from '@nestjs/common';
import { AccessModule } from '../access/access.module.js';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { Deliveries } from './deliveries.js';
import { Keys } from './keys.js';
import { KeysController } from './keys.controller.js';
import { RevokeKeysController } from './revoke-keys.controller.js';
import { RotationController } from './rotation.controller.js';
import { Rotations } from './rotations.js';

/** The life of keys. */
@Module({
  imports: [AccessModule, IdempotencyModule],
  controllers: [KeysController, RevokeKeysController, RotationController],
  providers: [Deliveries, Keys, Rotations],
  exports: [Keys],
})
export class KeysModule {}
