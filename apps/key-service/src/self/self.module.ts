import { Module, type DynamicModule } from '@nestjs/common';
import { KeysModule } from '../keys/keys.module.js';
import { HolderGuard } from './holder.guard.js';
import { SelfController } from './self.controller.js';

/** The holder's own routes. */
@Module({})
export class SelfModule {
  /** @param verifying the module that verifies */
  static forRoot(verifying: DynamicModule): DynamicModule {
    return {
      module: SelfModule,
      imports: [KeysModule, verifying],
      controllers: [SelfController],
      providers: [HolderGuard],
    };
  }
}
