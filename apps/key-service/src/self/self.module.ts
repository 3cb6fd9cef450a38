import { Module, type DynamicModule } from '@nestjs/common';
import { Attempts } from '../attempts.js';
import { HOLDER_ATTEMPTS, HolderGuard } from './holder.guard.js';
import { SelfController } from './self.controller.js';

/** The holder's own routes. */
@Module({})
export class SelfModule {
  /** @param verifying the module that verifies */
  static forRoot(verifying: DynamicModule): DynamicModule {
    const attempts = {
      provide: HOLDER_ATTEMPTS,
      useFactory: () => new Attempts({ burst: 20, perSecond: 5 }),
    };
    return {
      module: SelfModule,
      imports: [verifying],
      controllers: [SelfController],
      providers: [HolderGuard, attempts],
    };
  }
}
