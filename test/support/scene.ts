import { oauthToken } from '#contracts';
import { readEnvFile } from '../../libs/server/src/load-config.js';
import { call, type Answer, type Call } from '../../tools/quickstart/http.js';
import { logIn } from '../../tools/quickstart/provision.js';
import { startPlatform, type TestPlatform, type TestPlatformOptions } from './platform.js';
import { query } from './postgres.js';

/** The services of a platform, by the names that tests use. */
export type ServiceName = 'login' | 'keyService' | 'serviceA' | 'serviceB';
export const SERVICE_NAMES: readonly ServiceName[] = [
  'login',
  'keyService',
  'serviceA',
  'serviceB',
];

/** One request; `token` becomes a bearer token, `key` the header `x-api-key`. */
export interface Ask extends Call {
  token?: string;
  key?: string;
}

/** A platform that serves, and short ways to speak with it. */
export interface Scene {
  platform: TestPlatform;
  /** Calls a service: GET, or POST where there is a body. */
  ask: (service: ServiceName, path: string, options?: Ask) => Promise<Answer>;
  /** The same, status and body only: for comparing whole answers. */
  tell: (service: ServiceName, path: string, options?: Ask) => Promise<Told>;
  /** Access token of a person, by default of the admin. */
  token: (person?: { username: string; password: string }) => Promise<string>;
  /** Token of a service account for an audience, by default the key service; of those that npm start makes, by id alone. */
  serviceToken: (clientId: string, options?: ServiceTokenOptions) => Promise<string>;
  /** Variables of the platform, as `.keyward/env` has them. */
  variables: Record<string, string>;
  /** Rows of one query as the owner of the database. */
  sql: <T extends Record<string, unknown>>(text: string, values?: unknown[]) => Promise<T[]>;
}

/** For whom a service's token is, and of whom. */
export interface ServiceTokenOptions {
  audience?: string;
  clientSecret?: string;
}

/** Status and body of an answer. */
export interface Told {
  status: number;
  body: unknown;
}

/** Starts a platform for tests. */
export async function startScene(options: TestPlatformOptions = {}): Promise<Scene> {
  // The limit on guesses is tested where login is; here many tests share one address.
  // And many look at the very next request after a change: what guards may know a little longer is tested in test/guard.
  const env = { LOGIN_RATE_PER_MINUTE: '100000', KEY_GUARD_MODE: 'strict', ...options.env };
  return sceneOf(await startPlatform({ ...options, env }));
}

/** The ways to speak with a platform that runs already. */
export function sceneOf(platform: TestPlatform): Scene {
  const variables = readEnvFile(platform.at('env'));
  const ask = (service: ServiceName, path: string, options: Ask = {}): Promise<Answer> => {
    const { token, key, headers, ...rest } = options;
    return call(`${platform.quickstart[service]}${path}`, {
      ...rest,
      headers: {
        ...headers,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(key !== undefined && { 'x-api-key': key }),
      },
    });
  };
  return {
    platform,
    ask,
    tell: async (service, path, options) => {
      const { status, body } = await ask(service, path, options);
      return { status, body };
    },
    token: async (person = platform.quickstart.admin) => {
      const token = await logIn(platform.quickstart.login, person);
      if (token === null) throw new Error(`${person.username} cannot log in`);
      return token;
    },
    serviceToken: (clientId, { audience = 'key-service', clientSecret } = {}) => {
      const secret = clientSecret ?? platform.quickstart.clients[clientId]?.clientSecret ?? '';
      return serviceTokenOf(platform.quickstart.login, { clientId, secret, audience });
    },
    variables,
    sql: (text, values) => query(variables['MIGRATION_DATABASE_URL'] ?? '', text, values),
  };
}

async function serviceTokenOf(
  login: string,
  { clientId, secret, audience }: { clientId: string; secret: string; audience: string },
): Promise<string> {
  const basic = Buffer.from(`${clientId}:${secret}`).toString('base64');
  const response = await fetch(`${login}/oauth2/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', audience }),
  });
  if (!response.ok) throw new Error(`${clientId} gets no token: ${await response.text()}`);
  return oauthToken.parse(await response.json()).access_token;
}
