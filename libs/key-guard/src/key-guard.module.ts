import {
  ConfigurableModuleBuilder,
  Inject,
  Module,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { APP_GUARD, DiscoveryModule } from '@nestjs/core';
import { createKeyGuard, type KeyGuardCore, type KeyGuardOptions } from './core.js';
import { GUARDS_EVERY_ROUTE, GuardedRoutes } from './guarded-routes.js';
import { KEY_GUARD, KeyGuard } from './key.guard.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } =
  new ConfigurableModuleBuilder<KeyGuardOptions>()
    .setClassMethodName('forRoot')
    .setExtras({ everyRoute: true }, (definition, { everyRoute }) => ({
      ...definition,
      global: true,
      providers: [
        ...(definition.providers ?? []),
        { provide: GUARDS_EVERY_ROUTE, useValue: everyRoute },
        ...(everyRoute ? [{ provide: APP_GUARD, useExisting: KeyGuard }] : []),
      ],
    }))
    .build();

/**
 * Guards every Nest route of an app by API key, closed by default: `KeyGuardModule.forRoot({ urls, token, service })` or
 * `forRootAsync`. A route names its scopes with `@RequireScope`, or is `@Public`; the app does not start where one names
 * neither, or where an option is wrong. With `everyRoute: false` only what is under `@UseGuards(KeyGuard)` is guarded.
 */
@Module({
  imports: [DiscoveryModule],
  providers: [
    { provide: KEY_GUARD, useFactory: createKeyGuard, inject: [MODULE_OPTIONS_TOKEN] },
    KeyGuard,
    GuardedRoutes,
  ],
  exports: [KEY_GUARD, KeyGuard],
})
export class KeyGuardModule extends ConfigurableModuleClass implements OnApplicationShutdown {
  constructor(@Inject(KEY_GUARD) private readonly guard: KeyGuardCore) {
    super();
  }

  /** What was counted is reported before the app ends. */
  onApplicationShutdown(): Promise<void> {
    return this.guard.close();
  }
}
