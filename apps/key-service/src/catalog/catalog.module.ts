import { Module } from '@nestjs/common';
import { AccessModule } from '../access/access.module.js';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { Consumers } from './consumers.js';
import { ConsumersController } from './consumers.controller.js';
import { ServiceViolations } from './service-violations.js';
import { Services } from './services.js';
import { ServicesController } from './services.controller.js';

/** Services and consumers. */
@Module({
  imports: [AccessModule, IdempotencyModule],
  controllers: [ServicesController, ConsumersController],
  providers: [Services, ServiceViolations, Consumers],
})
export class CatalogModule {}
