import { fileURLToPath } from 'node:url';
import { OWN_VARIABLES, type QuickstartConfig } from './config.js';
import type { Home } from './home.js';
import type { Secrets } from './secrets.js';

/** The apps, in the order in which the log names them, with the variables that each needs. */
export const APPS = {
  login: ['LOGIN_PORT', 'LOGIN_DATABASE_URL', 'LOGIN_SECRET', 'REDIS_URL'],
  'key-service': [
    'KEY_SERVICE_PORT',
    'KEY_SERVICE_DATABASE_URL',
    'KEY_SERVICE_SECRET',
    'KEY_PEPPERS',
    'KEY_PEPPER_CURRENT',
    'DELIVERY_TARGETS',
    'REDIS_URL',
  ],
  'service-a': [
    'SERVICE_A_PORT',
    'KEY_SERVICE_URL',
    'SERVICE_A_CLIENT_ID',
    'SERVICE_A_CLIENT_SECRET',
  ],
  'service-b': ['SERVICE_B_PORT', 'SERVICE_A_URL', 'SERVICE_B_API_KEY_FILE'],
} as const;
export type AppName = keyof typeof APPS;
export const APP_NAMES = Object.keys(APPS) as AppName[];

const SHARED = ['HOST', 'LOGIN_URL', 'TOKEN_ISSUER', 'JWT_ALGORITHM', 'JWT_SECRET', 'KEYWARD_HOME'];

/** Connection strings that the apps run with. */
export interface Stores {
  ownerUrl: string;
  loginUrl: string;
  keyServiceUrl: string;
  redisUrl: string | undefined;
}

/** Every variable of the platform, by name: what goes into `.keyward/env`. */
export type PlatformEnv = Record<string, string>;

/** Where the apps are reached from this machine. */
export interface Urls {
  login: string;
  keyService: string;
  serviceA: string;
  serviceB: string;
}

/** Base URLs of the apps. */
export function urlsOf(config: QuickstartConfig): Urls {
  const anywhere = config.HOST === '0.0.0.0' || config.HOST === '::';
  const host = anywhere
    ? '127.0.0.1'
    : config.HOST.includes(':')
      ? `[${config.HOST}]`
      : config.HOST;
  const at = (port: number) => `http://${host}:${port}`;
  return {
    login: at(config.LOGIN_PORT),
    keyService: at(config.KEY_SERVICE_PORT),
    serviceA: at(config.SERVICE_A_PORT),
    serviceB: at(config.SERVICE_B_PORT),
  };
}

/** All variables of a platform. */
export function platformEnvOf(
  config: QuickstartConfig,
  home: Home,
  stores: Stores,
  secrets: Secrets,
): PlatformEnv {
  const urls = urlsOf(config);
  return {
    HOST: config.HOST,
    LOGIN_PORT: String(config.LOGIN_PORT),
    KEY_SERVICE_PORT: String(config.KEY_SERVICE_PORT),
    SERVICE_A_PORT: String(config.SERVICE_A_PORT),
    SERVICE_B_PORT: String(config.SERVICE_B_PORT),
    MIGRATION_DATABASE_URL: stores.ownerUrl,
    LOGIN_DATABASE_URL: stores.loginUrl,
    KEY_SERVICE_DATABASE_URL: stores.keyServiceUrl,
    ...(stores.redisUrl !== undefined && { REDIS_URL: stores.redisUrl }),
    LOGIN_SECRET: secrets.LOGIN_SECRET,
    KEY_SERVICE_SECRET: secrets.KEY_SERVICE_SECRET,
    KEY_PEPPERS: secrets.KEY_PEPPERS,
    ...(config.KEY_PEPPER_CURRENT !== undefined && {
      KEY_PEPPER_CURRENT: config.KEY_PEPPER_CURRENT,
    }),
    JWT_ALGORITHM: config.JWT_ALGORITHM,
    ...(config.JWT_ALGORITHM === 'HS256' && { JWT_SECRET: secrets.JWT_SECRET }),
    DELIVERY_TARGETS: config.DELIVERY_TARGETS ?? home.at('delivery-targets.json'),
    LOGIN_URL: urls.login,
    TOKEN_ISSUER: urls.login,
    KEY_SERVICE_URL: urls.keyService,
    SERVICE_A_URL: urls.serviceA,
    SERVICE_A_CLIENT_ID: 'service-a',
    SERVICE_A_CLIENT_SECRET: secrets.SERVICE_A_CLIENT_SECRET,
    SERVICE_B_API_KEY_FILE: home.at('service-b.key'),
    KEYWARD_HOME: home.path,
  };
}

/** Environment of one app: what the caller's own has, without what is for others, and this app's variables. */
export function appEnvOf(
  app: AppName,
  env: PlatformEnv,
  given: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const own = [...SHARED, ...APPS[app]];
  const others = new Set([...OWN_VARIABLES, ...Object.keys(env)]);
  others.delete('NODE_ENV');
  return {
    ...Object.fromEntries(Object.entries(given).filter(([name]) => !others.has(name))),
    ...Object.fromEntries(Object.entries(env).filter(([name]) => own.includes(name))),
  };
}

/** File to be run for an app. */
export function entryOf(app: AppName, file = 'main.js'): string {
  return fileURLToPath(new URL(`../../apps/${app}/src/${file}`, import.meta.url));
}
