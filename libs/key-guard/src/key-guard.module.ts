import { ConfigurableModuleBuilder, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { GuardedRoutes } from './guarded-routes.js';
import { KEY_VERIFIER, KeyGuard } from './key.guard.js';
import { createKeyVerifier, type KeyVerifierOptions } from './key-verifier.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } =
  new ConfigurableModuleBuilder<KeyVerifierOptions>()
    .setClassMethodName('forRoot')
    .setExtras({}, (definition) => ({ ...definition, global: true }))
    .build();

/**
 * Makes `@UseGuards(KeyGuard)` work everywhere in the app: `KeyGuardModule.forRoot({ urls, token, service })` or
 * `forRootAsync`. The app does not start when an option or the set-up of a guarded route is wrong.
 */
@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: KEY_VERIFIER, useFactory: createKeyVerifier, inject: [MODULE_OPTIONS_TOKEN] },
    KeyGuard,
    GuardedRoutes,
  ],
  exports: [KEY_VERIFIER, KeyGuard],
})
export class KeyGuardModule extends ConfigurableModuleClass {}
