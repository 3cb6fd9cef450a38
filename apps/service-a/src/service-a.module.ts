import { Module, type DynamicModule } from '@nestjs/common';
import { JwtGuardModule } from '#jwt-guard';
import { createServiceToken, KeyGuardModule } from '#key-guard';
import { tokenKeysOf } from '#server';
import type { ServiceAConfig } from './config.js';
import { LoginController } from './login/login.controller.js';
import { LoginForwarder } from './login/login.forwarder.js';
import { KeyProvisioner, SERVICE } from './provisioning/key-provisioner.js';
import { ProvisioningController } from './provisioning/provisioning.controller.js';
import { createReportCursors } from './reports/report-cursor.js';
import { createReportStore } from './reports/report-store.js';
import { RepeatedReports } from './reports/repeated-reports.js';
import { ReportsController } from './reports/reports.controller.js';
import { Reports } from './reports/reports.js';
import { createUpstream } from './upstream.js';

const TIMEOUT_MS = 5_000;

/** service-a, wired. */
@Module({})
export class ServiceAModule {
  static forRoot(config: ServiceAConfig): DynamicModule {
    const loginUrl = config.LOGIN_URL.replace(/\/+$/, '');
    const token = createServiceToken({
      tokenUrl: `${loginUrl}/oauth2/token`,
      clientId: config.SERVICE_A_CLIENT_ID,
      clientSecret: config.SERVICE_A_CLIENT_SECRET,
      audience: 'key-service',
      scope: 'keys:verify keys:provision',
    });
    const login = createUpstream({ name: 'Login', urls: [loginUrl], timeoutMs: TIMEOUT_MS });
    const keyService = createUpstream({
      name: 'The key service',
      urls: config.KEY_SERVICE_URL,
      timeoutMs: TIMEOUT_MS,
    });
    return {
      module: ServiceAModule,
      imports: [
        JwtGuardModule.forRoot({
          issuer: config.TOKEN_ISSUER,
          audience: SERVICE,
          ...tokenKeysOf(config, `${loginUrl}/.well-known/jwks.json`),
        }),
        KeyGuardModule.forRoot({
          urls: config.KEY_SERVICE_URL,
          token,
          service: SERVICE,
          mode: config.KEY_GUARD_MODE,
          // the other routes are for people: the JWT guard has them
          everyRoute: false,
        }),
      ],
      controllers: [LoginController, ProvisioningController, ReportsController],
      providers: [
        { provide: LoginForwarder, useValue: new LoginForwarder(login) },
        { provide: KeyProvisioner, useValue: new KeyProvisioner(keyService, token) },
        { provide: Reports, useFactory: () => createReports(config.SERVICE_A_CLIENT_SECRET) },
      ],
    };
  }
}

function createReports(secret: string): Reports {
  return new Reports(createReportStore(), createReportCursors(secret), new RepeatedReports());
}
