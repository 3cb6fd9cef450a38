import type { Logger } from 'pino';
import type { AppOptions } from '#server';
import type { ServiceAConfig } from './config.js';
import { OWN_VERIFY_PATH } from './local-keys/validation.controller.js';
import { ServiceAModule } from './service-a.module.js';

/** Whose the keys are in each mode, as its OpenAPI document says it. */
export const KEYS_ARE: Record<ServiceAConfig['SERVICE_A_KEYS'], string> = {
  central: ' and the making of keys to the key service; stores no key.',
  local: '; makes its keys itself, stores their digests and validates them at /v1/keys/verify.',
  dual: '; while keys move they are managed here or at the key service, and digests are stored here.',
};

/** Its document in each mode. */
const DOCUMENTS: Record<ServiceAConfig['SERVICE_A_KEYS'], string> = {
  central: 'service-a',
  local: 'service-a-local',
  dual: 'service-a-dual',
};

/** service-a, ready to be started. Nothing that it calls need be there: an outage elsewhere does not stop it serving. */
export function appOptions(config: ServiceAConfig, log: Logger): AppOptions {
  return {
    name: 'service-a',
    module: ServiceAModule.forRoot(config),
    env: config,
    log,
    port: config.SERVICE_A_PORT,
    portVariable: 'SERVICE_A_PORT',
    http: { keyPaths: config.SERVICE_A_KEYS === 'central' ? [] : [OWN_VERIFY_PATH] },
    openApi: {
      name: DOCUMENTS[config.SERVICE_A_KEYS],
      title: 'Keyward service-a',
      description: `A resource service: reports behind API keys. Forwards logins to login${KEYS_ARE[config.SERVICE_A_KEYS]}`,
    },
  };
}
