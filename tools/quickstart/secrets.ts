import { randomBytes } from 'node:crypto';
import type { QuickstartConfig } from './config.js';
import type { State } from './home.js';

/** Secrets of the apps, as in `.keyward/env`. */
export interface Secrets {
  LOGIN_SECRET: string;
  KEY_SERVICE_SECRET: string;
  KEY_PEPPERS: string;
  SERVICE_A_CLIENT_SECRET: string;
  /** Used with JWT_ALGORITHM=HS256 only. */
  JWT_SECRET: string;
}

/** Who else has a password, made once and remembered in the state. */
export const PASSWORDS = {
  owner: password,
  login: password,
  keyService: password,
  redis: password,
  admin: password,
  serviceBClient: clientSecret,
} as const;
export type Passwords = Record<keyof typeof PASSWORDS, string>;

/**
 * Secrets of the apps: as the environment says, else as the last start wrote them, else new ones.
 *
 * @param stored variables of `.keyward/env`
 * @throws Error when a platform that was provisioned has lost one: new ones would not open its data
 */
export function secretsOf(
  config: QuickstartConfig,
  stored: Record<string, string>,
  isProvisioned: boolean,
): Secrets {
  const made: Secrets = {
    LOGIN_SECRET: secret(),
    KEY_SERVICE_SECRET: secret(),
    KEY_PEPPERS: `1:${secret()}`,
    SERVICE_A_CLIENT_SECRET: clientSecret(),
    JWT_SECRET: secret(),
  };
  const given: Partial<Record<string, unknown>> = config;
  const entries = Object.entries(made).map(([name, fresh]) => {
    const known = given[name] ?? stored[name];
    if (known === undefined && isProvisioned && name !== 'JWT_SECRET') {
      throw new Error(
        `${name} is missing in the file env of ${config.KEYWARD_HOME}, and a new one would not open the data there; restore the file, or remove the folder to start afresh`,
      );
    }
    return [name, known ?? fresh];
  });
  return Object.fromEntries(entries) as Secrets;
}

/** Passwords of the state, those that it lacks made now. */
export function passwordsOf(config: QuickstartConfig, state: State): Passwords {
  const given: Partial<Passwords> =
    config.ADMIN_PASSWORD === undefined ? {} : { admin: config.ADMIN_PASSWORD };
  const entries = Object.entries(PASSWORDS).map(([name, make]) => [
    name,
    state.passwords[name] ?? given[name as keyof Passwords] ?? make(),
  ]);
  return Object.fromEntries(entries) as Passwords;
}

function secret(): string {
  return randomBytes(32).toString('base64');
}

function password(): string {
  return randomBytes(18).toString('base64url');
}

function clientSecret(): string {
  return `kws_${randomBytes(32).toString('base64url')}`;
}
