import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Claims } from '#contracts';
import { createApp, createLogger, parseConfig } from '#server';
import { createStubServer, type StubServer } from '../../../../test/support/stub-server.js';
import { createTokenIssuer } from '../../../../test/support/token-issuer.js';
import { appOptions } from '../app-options.js';
import { serviceBEnv } from '../config.js';

/** The surroundings of service-b: login's keys and a stub of service-a. */
export interface Surroundings {
  serviceA: StubServer;
  /** A person's token. */
  token: (claims?: Partial<Claims>) => Promise<string>;
  env: Record<string, string>;
  close: () => Promise<void>;
}

/** Starts the stubs. */
export async function createSurroundings(): Promise<Surroundings> {
  const issuer = await createTokenIssuer();
  const [login, serviceA] = await Promise.all([
    createStubServer({ 'GET /.well-known/jwks.json': issuer.jwks }),
    createStubServer(),
  ]);
  return {
    serviceA,
    token: (claims) => issuer.token(login.url, claims),
    env: { LOG_LEVEL: 'silent', LOGIN_URL: login.url, SERVICE_A_URL: serviceA.url },
    close: async () => {
      await Promise.all([login.close(), serviceA.close()]);
    },
  };
}

/** service-b in this process, not listening yet. */
export async function createServiceB(env: Record<string, string>): Promise<NestFastifyApplication> {
  const config = parseConfig(serviceBEnv, env);
  const options = appOptions(config, createLogger('service-b', config.LOG_LEVEL));
  return createApp(options);
}
