import { Module, type DynamicModule } from '@nestjs/common';
import type { KeyServiceEnv } from '../config.js';
import { createDeliveryTargets, DELIVERY_TARGETS } from './delivery-targets.js';
import { readTargetSettings } from './target-settings.js';

/** The places that secrets may be delivered to, for everybody. */
@Module({})
export class DeliveryModule {
  static forRoot({ DELIVERY_TARGETS: path }: KeyServiceEnv): DynamicModule {
    const useValue = createDeliveryTargets(readTargetSettings(path));
    const providers = [{ provide: DELIVERY_TARGETS, useValue }];
    return { module: DeliveryModule, global: true, providers, exports: providers };
  }
}
