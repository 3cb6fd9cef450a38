import { Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import { JwtGuardModule } from '#jwt-guard';
import { createKeyClient } from '#key-client';
import { tokenKeysOf } from '#server';
import type { ServiceBConfig } from './config.js';
import { secretOf } from './key-provider.js';
import { KeyStatusController, SECRET_PROVIDER } from './summary/key-status.controller.js';
import { createReportsClient } from './summary/reports.client.js';
import { REPORTS_CLIENT, SummaryController } from './summary/summary.controller.js';

/** Leaves service-a time for its own answer that nobody can decide on the key. */
const TIMEOUT_MS = 3_000;

/** service-b, wired. */
@Module({})
export class ServiceBModule {
  static forRoot(config: ServiceBConfig, log: Logger): DynamicModule {
    const secret = secretOf(config, log);
    const client = createKeyClient({
      baseUrl: config.SERVICE_A_URL,
      secret,
      timeoutMs: TIMEOUT_MS,
      // Whoever called us is told to come back: of several services in a row only the first should ask again.
      retry: { retries: 0 },
    });
    return {
      module: ServiceBModule,
      imports: [
        JwtGuardModule.forRoot({
          issuer: config.TOKEN_ISSUER,
          audience: 'service-b',
          ...tokenKeysOf(config, `${config.LOGIN_URL.replace(/\/+$/, '')}/.well-known/jwks.json`),
        }),
      ],
      controllers: [SummaryController, KeyStatusController],
      providers: [
        { provide: SECRET_PROVIDER, useValue: secret },
        { provide: REPORTS_CLIENT, useValue: createReportsClient(client) },
      ],
    };
  }
}
