import { type DynamicModule, Logger, Module } from '@nestjs/common';
import { JwtGuardModule } from '#jwt-guard';
import { createServiceToken, KeyGuardModule } from '#key-guard';
import { tokenKeysOf } from '#server';
import type { ServiceAConfig } from './config.js';
import { LocalKeysModule } from './local-keys/local-keys.module.js';
import { UntoldModule } from './local-keys/untold.module.js';
import { LoginController } from './login/login.controller.js';
import { LoginForwarder } from './login/login.forwarder.js';
import { KeyProvisioner, SERVICE } from './provisioning/key-provisioner.js';
import { ProvisioningController } from './provisioning/provisioning.controller.js';
import { createReportStore } from './reports/report-store.js';
import { RepeatedReports } from './reports/repeated-reports.js';
import { ReportsController } from './reports/reports.controller.js';
import { Reports } from './reports/reports.js';
import { createCursors } from './signed-cursors.js';
import { createUpstream } from './upstream.js';

const TIMEOUT_MS = 5_000;

/** service-a, wired. */
@Module({})
export class ServiceAModule {
  static forRoot(config: ServiceAConfig): DynamicModule {
    const loginUrl = config.LOGIN_URL.replace(/\/+$/, '');
    const central = config.SERVICE_A_KEYS === 'local' ? null : centralOf(config, loginUrl);
    const isCentral = config.SERVICE_A_KEYS === 'central';
    const login = createUpstream({ name: 'Login', urls: [loginUrl], timeoutMs: TIMEOUT_MS });
    return {
      module: ServiceAModule,
      imports: [
        JwtGuardModule.forRoot({
          issuer: config.TOKEN_ISSUER,
          audience: SERVICE,
          ...tokenKeysOf(config, `${loginUrl}/.well-known/jwks.json`),
        }),
        isCentral && central !== null
          ? KeyGuardModule.forRoot({
              urls: central.urls,
              token: central.token,
              service: SERVICE,
              mode: config.KEY_GUARD_MODE,
              environment: config.SERVICE_A_ENVIRONMENT,
              onFault: ({ message }) => new Logger('KeyGuard').warn(message),
              // the other routes are for people: the JWT guard has them
              everyRoute: false,
            })
          : LocalKeysModule.forRoot(config, central),
        UntoldModule.forRoot(config),
      ],
      controllers: [LoginController, ProvisioningController, ReportsController],
      providers: [
        { provide: LoginForwarder, useValue: new LoginForwarder(login) },
        ...(isCentral ? [{ provide: KeyProvisioner, useValue: central?.provisioner }] : []),
        { provide: Reports, useFactory: () => createReports(cursorSecretOf(config)) },
      ],
    };
  }
}

function createReports(secret: string): Reports {
  return new Reports(createReportStore(), createCursors(secret, 'reports'), new RepeatedReports());
}

/** A secret of this service's own in every mode. */
function cursorSecretOf(config: ServiceAConfig): string {
  return config.SERVICE_A_CLIENT_SECRET ?? config.SERVICE_A_KEY_SECRET!.toString('base64');
}

/** What this service calls the key service with; not there where it manages its keys alone. */
function centralOf(config: ServiceAConfig, loginUrl: string) {
  const urls = config.KEY_SERVICE_URL!;
  const token = createServiceToken({
    tokenUrl: `${loginUrl}/oauth2/token`,
    clientId: config.SERVICE_A_CLIENT_ID!,
    clientSecret: config.SERVICE_A_CLIENT_SECRET!,
    audience: 'key-service',
    scope: 'keys:verify keys:provision',
  });
  const keyService = createUpstream({ name: 'The key service', urls, timeoutMs: TIMEOUT_MS });
  return {
    urls,
    token,
    provisioner: new KeyProvisioner(keyService, token, config.SERVICE_A_ENVIRONMENT),
  };
}
