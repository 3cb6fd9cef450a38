import {
  Module,
  type DynamicModule,
  type FactoryProvider,
  type ModuleMetadata,
  type Provider,
} from '@nestjs/common';
import { APP_GUARD, DiscoveryModule } from '@nestjs/core';
import { AccessTokenStrategy } from './access-token.strategy.js';
import { IS_LIVE, JwtGuard, type IsLive } from './jwt.guard.js';
import { RouteCheck } from './route-check.js';
import {
  createTokenVerifier,
  type TokenVerifier,
  type TokenVerifierOptions,
} from './token-verifier.js';

/** What the guard accepts. */
export interface JwtGuardOptions extends TokenVerifierOptions {
  /**
   * Asked about every caller whose token is good, to refuse one whose session has ended. Without it a token counts until it
   * expires.
   */
  isLive?: IsLive;
}

/** Injection token of the app's {@link TokenVerifier}, for tokens that come another way than `Authorization`. */
export const TOKEN_VERIFIER = Symbol('TOKEN_VERIFIER');

const OPTIONS = Symbol('JWT_GUARD_OPTIONS');

/**
 * Guards every Nest route of an app by access token, closed by default: a route that names none of `@Public`,
 * `@Authenticated`, `@Roles` and `@TokenScopes` is an error at the start, and at a call if it comes to that.
 */
@Module({})
export class JwtGuardModule {
  static forRoot(options: JwtGuardOptions): DynamicModule {
    return moduleWith({ provide: OPTIONS, useValue: options });
  }

  static forRootAsync(
    source: Pick<FactoryProvider<JwtGuardOptions>, 'inject' | 'useFactory'> &
      Pick<ModuleMetadata, 'imports'>,
  ): DynamicModule {
    const { imports = [], ...factory } = source;
    return moduleWith({ provide: OPTIONS, ...factory }, imports);
  }
}

function moduleWith(
  options: Provider,
  imports: NonNullable<ModuleMetadata['imports']> = [],
): DynamicModule {
  return {
    module: JwtGuardModule,
    global: true,
    imports: [DiscoveryModule, ...imports],
    providers: [
      options,
      {
        provide: TOKEN_VERIFIER,
        inject: [OPTIONS],
        useFactory: (given: JwtGuardOptions) => createTokenVerifier(given),
      },
      {
        provide: AccessTokenStrategy,
        inject: [TOKEN_VERIFIER],
        useFactory: (verifier: TokenVerifier) => new AccessTokenStrategy(verifier),
      },
      {
        provide: IS_LIVE,
        inject: [OPTIONS],
        useFactory: (given: JwtGuardOptions): IsLive => given.isLive ?? (() => true),
      },
      { provide: APP_GUARD, useClass: JwtGuard },
      RouteCheck,
    ],
    exports: [TOKEN_VERIFIER],
  };
}
