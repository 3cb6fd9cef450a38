import { Module, type DynamicModule } from '@nestjs/common';
import { IntrospectionController } from './introspection.controller.js';

/** Introspection of API keys. */
@Module({})
export class IntrospectionModule {
  /** @param verifying the module that verifies */
  static forRoot(verifying: DynamicModule): DynamicModule {
    return {
      module: IntrospectionModule,
      imports: [verifying],
      controllers: [IntrospectionController],
    };
  }
}
