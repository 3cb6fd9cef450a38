import { Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import { JwtGuardModule } from '#jwt-guard';
import { tokenKeysOf } from '#server';
import { AccessModule } from './access/access.module.js';
import { CatalogModule } from './catalog/catalog.module.js';
import { DatabaseClock } from './changes/database-clock.js';
import { issuerOf, type KeyServiceEnv } from './config.js';
import { DeliveryModule } from './delivery/delivery.module.js';
import { ExplainModule } from './explain/explain.module.js';
import { IntrospectionModule } from './introspection/introspection.module.js';
import { MigrationModule } from './migration/migration.module.js';
import { KeysModule } from './keys/keys.module.js';
import { LeaseModule } from './lease/lease.module.js';
import { PeppersModule } from './peppers/peppers.module.js';
import { SelfModule } from './self/self.module.js';
import { StoresModule } from './stores.module.js';
import { UsageModule } from './usage/usage.module.js';
import { VerifyModule } from './verify/verify.module.js';

/** The key service, whole. */
@Module({})
export class KeyServiceModule {
  static forRoot(env: KeyServiceEnv, log: Logger): DynamicModule {
    const clock = new DatabaseClock(log);
    const verifying = VerifyModule.forRoot(env);
    return {
      module: KeyServiceModule,
      imports: [
        StoresModule.forRoot(env, log, clock),
        JwtGuardModule.forRoot({
          issuer: issuerOf(env),
          audience: 'key-service',
          now: clock.now,
          ...tokenKeysOf(env, `${env.LOGIN_URL}/.well-known/jwks.json`),
        }),
        AccessModule,
        DeliveryModule.forRoot(env),
        CatalogModule,
        KeysModule.forRoot(env),
        UsageModule.forRoot(env),
        PeppersModule,
        MigrationModule.forRoot(env),
        verifying,
        LeaseModule.forRoot(verifying),
        ExplainModule.forRoot(verifying),
        IntrospectionModule.forRoot(verifying),
        SelfModule.forRoot(verifying),
      ],
    };
  }
}
