import { Module, type DynamicModule } from '@nestjs/common';
import { AccessModule } from '../access/access.module.js';
import { ExplainController } from './explain.controller.js';
import { Explainer } from './explainer.js';

/** Explanations of decisions. */
@Module({})
export class ExplainModule {
  /** @param verifying the module that verifies */
  static forRoot(verifying: DynamicModule): DynamicModule {
    return {
      module: ExplainModule,
      imports: [AccessModule, verifying],
      controllers: [ExplainController],
      providers: [Explainer],
    };
  }
}
