import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import type { AppOptions } from '#server';
import { TOKEN_PATH } from './clients/oauth.controller.js';
import type { LoginEnv } from './config.js';
import { isDatabaseReady } from './database.js';
import { LoginModule } from './login.module.js';

/** Reads take 6 of the 10 connections at most. */
const READS = { withinMs: 4_000, atOnce: 6 };

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
    reads: READS,
    openApi: {
      name: 'login',
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
