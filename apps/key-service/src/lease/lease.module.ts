import { Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import { Stores } from '../stores.js';
import { LOG } from '../tokens.js';
import { Usage } from '../usage/usage.js';
import { Verifier } from '../verify/verifier.js';
import { Leases } from './leases.js';
import { PolicyTerms } from './policy-terms.js';

/** Verdicts with leases, for guards. */
@Module({})
export class LeaseModule {
  static forRoot(verifying: DynamicModule): DynamicModule {
    const leases = {
      provide: Leases,
      inject: [Verifier, Usage, Stores, LOG],
      useFactory: (verifier: Verifier, usage: Usage, { hotPool }: Stores, log: Logger) =>
        new Leases({ verifier, usage, terms: new PolicyTerms(hotPool, log) }),
    };
    return { module: LeaseModule, imports: [verifying], providers: [leases], exports: [leases] };
  }
}
