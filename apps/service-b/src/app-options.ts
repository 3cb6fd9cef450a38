import type { Logger } from 'pino';
import type { AppOptions } from '#server';
import type { ServiceBConfig } from './config.js';
import { ServiceBModule } from './service-b.module.js';

/** service-b, ready to be started. Nothing that it calls need be there: an outage elsewhere does not stop it serving. */
export function appOptions(config: ServiceBConfig, log: Logger): AppOptions {
  return {
    name: 'service-b',
    module: ServiceBModule.forRoot(config, log),
    env: config,
    log,
    port: config.SERVICE_B_PORT,
    portVariable: 'SERVICE_B_PORT',
    openApi: {
      name: 'service-b',
      title: 'Keyward service-b',
      description: 'A consumer: serves users from the reports of service-a, which it calls by key.',
    },
  };
}
