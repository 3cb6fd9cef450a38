import {
  Module,
  type DynamicModule,
  type FactoryProvider,
  type ModuleMetadata,
  type Provider,
} from '@nestjs/common';
import { APP_GUARD, DiscoveryModule } from '@nestjs/core';
import { AccessTokenStrategy } from './access-token.strategy.js';
import { IS_LIVE, type IsLive } from './is-live.js';
import { JwtGuard } from './jwt.guard.js';
import { RouteCheck } from './route-check.js';
import type { TokenVerifierOptions } from './options.js';
import { createTokenVerifier, type TokenVerifier } from './token-verifier.js';

/** What the guard accepts. */
export type JwtGuardOptions = TokenVerifierOptions & {
  /**
   * Asked about every caller whose token is good, to refuse one whose session has ended. Without it a token counts until it
   * expires.
   */
  isLive?: IsLive | undefined;
};

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
        useFactory: (given: JwtGuardOptions) => createTokenVerifier(withoutIsLive(given)),
      },
      {
        provide: AccessTokenStrategy,
        inject: [TOKEN_VERIFIER],
        useFactory: (verifier: TokenVerifier) => new AccessTokenStrategy(verifier),
      },
      {
        provide: IS_LIVE,
        inject: [OPTIONS],
        useFactory: ({ isLive }: JwtGuardOptions): IsLive => checkedIsLive(isLive),
      },
      { provide: APP_GUARD, useClass: JwtGuard },
      RouteCheck,
    ],
    exports: [TOKEN_VERIFIER],
  };
}

function checkedIsLive(isLive: IsLive | undefined): IsLive {
  if (isLive === undefined) return () => true;
  if (typeof isLive === 'function') return isLive;
  throw new Error('Options of the JWT guard are wrong: isLive must be a function');
}

function withoutIsLive(given: JwtGuardOptions): TokenVerifierOptions {
  const options = { ...given };
  delete options.isLive;
  return options;
}
