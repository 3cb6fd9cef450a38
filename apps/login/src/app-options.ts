import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import type { AppOptions } from '#server';
import { TOKEN_PATH } from './clients/oauth.controller.js';
import type { LoginEnv } from './config.js';
import { isDatabaseReady } from './database.js';
import { LoginModule } from './login.module.js';

const READS_WITHIN_MS = 4_000;

/** Login as the server library starts it. Nothing is connected before the app is initialised. */
export function appOptions(env: LoginEnv, log: Logger): AppOptions {
  return {
    name: 'login',
    module: LoginModule.forRoot(env, log),
    env,
    log,
    port: env.LOGIN_PORT,
    portVariable: 'LOGIN_PORT',
    http: { formPaths: [TOKEN_PATH] },
    readsWithinMs: READS_WITHIN_MS,
    openApi: {
      title: 'Keyward login',
      description: 'Who you are: passwords and client secrets in, tokens out.',
      complete: (document) => {
        document.components = {
          ...document.components,
          securitySchemes: {
            ...document.components?.securitySchemes,
            client: { type: 'http', scheme: 'basic' },
          },
        };
      },
    },
    isReady: (app) => isDatabaseReady(app.get(DataSource)),
  };
}
