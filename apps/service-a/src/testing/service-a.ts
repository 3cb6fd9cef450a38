import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Claims } from '#contracts';
import { createApp, createLogger, parseConfig } from '#server';
import {
  createStubServer,
  sendJson,
  type Respond,
  type StubServer,
} from '../../../../test/support/stub-server.js';
import { createTokenIssuer } from '../../../../test/support/token-issuer.js';
import { appOptions } from '../app-options.js';
import { serviceAEnv } from '../config.js';

/** Routes of a stub. */
export type Routes = Record<string, Respond>;

/** The surroundings of service-a: stubs of login and the key service. */
export interface Surroundings {
  login: StubServer;
  keyService: StubServer;
  /** Adds routes of login to those for tokens and keys. */
  loginRoutes: (routes: Routes) => void;
  /** A person's token. */
  token: (claims?: Partial<Claims>) => Promise<string>;
  env: Record<string, string>;
  close: () => Promise<void>;
}

/** Starts the stubs. Login gives the service its token, `own-token-1` first. */
export async function createSurroundings(): Promise<Surroundings> {
  const issuer = await createTokenIssuer();
  let issued = 0;
  const own: Routes = {
    'GET /.well-known/jwks.json': issuer.jwks,
    'POST /oauth2/token': (_seen, response) =>
      sendJson(response, 200, {
        access_token: `own-token-${(issued += 1)}`,
        token_type: 'Bearer',
        expires_in: 600,
        scope: 'keys:verify keys:provision',
      }),
  };
  const [login, keyService] = await Promise.all([createStubServer(own), createStubServer()]);
  return {
    login,
    keyService,
    loginRoutes: (routes) => login.routes({ ...own, ...routes }),
    token: (claims) => issuer.token(login.url, claims),
    env: {
      LOG_LEVEL: 'silent',
      KEY_GUARD_MODE: 'strict',
      LOGIN_URL: login.url,
      KEY_SERVICE_URL: keyService.url,
      SERVICE_A_CLIENT_ID: 'service-a',
      SERVICE_A_CLIENT_SECRET: 'kws_test-secret-of-service-a',
    },
    close: async () => {
      await Promise.all([login.close(), keyService.close()]);
    },
  };
}

/** service-a in this process, not listening yet. */
export async function createServiceA(env: Record<string, string>): Promise<NestFastifyApplication> {
  const config = parseConfig(serviceAEnv, env);
  const options = appOptions(config, createLogger('service-a', config.LOG_LEVEL));
  return createApp(options);
}
