import { Module, type DynamicModule } from '@nestjs/common';
import { ThrottlerModule } from '@nestjs/throttler';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { JwtGuardModule } from '#jwt-guard';
import { tokenKeysOf } from '#server';
import { ClientAuthentication } from './clients/client-authentication.js';
import { ClientTokens } from './clients/client-tokens.js';
import { ClientsController } from './clients/clients.controller.js';
import { Clients } from './clients/clients.js';
import { OAuthController } from './clients/oauth.controller.js';
import { issuerOf, type LoginEnv } from './config.js';
import { Idempotency } from './idempotency/idempotency.js';
import { LimitStorage } from './sessions/limit-storage.js';
import { limitsOf } from './sessions/limits.guard.js';
import { isSessionLive } from './sessions/live-session.js';
import { SessionsController } from './sessions/sessions.controller.js';
import { Sessions } from './sessions/sessions.js';
import { StoresModule } from './stores.module.js';
import { SigningKeysController } from './tokens/signing-keys.controller.js';
import { TokenKeys } from './tokens/token-keys.js';
import { WellKnownController } from './tokens/well-known.controller.js';
import { UsersController } from './users/users.controller.js';
import { OwnPassword } from './users/own-password.js';
import { Users } from './users/users.js';

/** Login, whole. */
@Module({})
export class LoginModule {
  static forRoot(env: LoginEnv, log: Logger): DynamicModule {
    return {
      module: LoginModule,
      imports: [
        StoresModule.forRoot(env, log),
        JwtGuardModule.forRootAsync({
          inject: [TokenKeys, DataSource],
          useFactory: (keys: TokenKeys, db: DataSource) => ({
            issuer: issuerOf(env),
            audience: 'login',
            ...tokenKeysOf(env, () => keys.jwks()),
            isLive: (caller) => isSessionLive(db, caller),
          }),
        }),
        ThrottlerModule.forRootAsync({
          inject: [LimitStorage],
          useFactory: (storage: LimitStorage) => limitsOf(env.LOGIN_RATE_PER_MINUTE, storage),
        }),
      ],
      controllers: [
        ClientsController,
        OAuthController,
        SessionsController,
        SigningKeysController,
        UsersController,
        WellKnownController,
      ],
      providers: [
        ClientAuthentication,
        Clients,
        ClientTokens,
        Idempotency,
        OwnPassword,
        Sessions,
        Users,
      ],
    };
  }
}
