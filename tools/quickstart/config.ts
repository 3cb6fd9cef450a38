import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { newPassword, username } from '#contracts';
import { databaseUrl } from '#postgres';
import { isRedisUrl, NO_REDIS_URL } from '#redis-client';
// Past the library's door, which would bring the whole of Nest into a process that only starts others.
import { parseConfig } from '../../libs/server/src/load-config.js';
import { port } from '../../libs/server/src/server-env.js';
import { tokenEnv } from '../../libs/server/src/token-env.js';

/** What may be set for `npm start`, in the process environment. */
const quickstartEnv = z.object({
  NODE_ENV: z.string().optional(),
  /** Folder of the platform's data, secrets and logs. */
  KEYWARD_HOME: z.string().default('.keyward'),
  HOST: z.string().default('127.0.0.1'),
  LOGIN_PORT: port.default(4001),
  KEY_SERVICE_PORT: port.default(4002),
  SERVICE_A_PORT: port.default(4003),
  SERVICE_B_PORT: port.default(4004),
  /** A PostgreSQL, of one or several servers, to use instead of the embedded one, with the right to create schemas and roles. */
  DATABASE_URL: databaseUrl.optional(),
  MIGRATION_DATABASE_URL: databaseUrl.optional(),
  LOGIN_DATABASE_URL: databaseUrl.optional(),
  KEY_SERVICE_DATABASE_URL: databaseUrl.optional(),
  /** A Redis to use instead of one of the platform's own. */
  REDIS_URL: z.string().refine(isRedisUrl, NO_REDIS_URL).optional(),
  ADMIN_USERNAME: username.default('admin'),
  /** First password of the admin; random by default. Later starts leave the password alone. */
  ADMIN_PASSWORD: newPassword.optional(),
  /** Family that access tokens are signed in. */
  JWT_ALGORITHM: tokenEnv.shape.JWT_ALGORITHM,
  JWT_SECRET: z.string().optional(),
  LOGIN_SECRET: z.string().optional(),
  KEY_SERVICE_SECRET: z.string().optional(),
  KEY_PEPPERS: z.string().optional(),
  KEY_PEPPER_CURRENT: z.string().optional(),
  /** Where secrets may be delivered to; by default to service-b's key file. */
  DELIVERY_TARGETS: z.string().optional(),
});
export type QuickstartConfig = z.infer<typeof quickstartEnv>;

/** Variables that are for `npm start` or for one app each, and so are passed on only to those who need them. */
export const OWN_VARIABLES: readonly string[] = Object.keys(quickstartEnv.shape);

/**
 * Settings of `npm start`.
 *
 * @throws ConfigError naming what is wrong, never a value
 */
export function readConfig(given: NodeJS.ProcessEnv): QuickstartConfig {
  const config = parseConfig(quickstartEnv, withoutEmpty(given));
  const owner = config.MIGRATION_DATABASE_URL ?? config.DATABASE_URL;
  const isComplete = owner !== undefined && config.REDIS_URL !== undefined;
  if (config.NODE_ENV === 'production' && !isComplete) {
    throw new Error(
      'In production set DATABASE_URL and REDIS_URL: the embedded servers are for trying out and developing',
    );
  }
  const home = config.KEYWARD_HOME;
  return { ...config, KEYWARD_HOME: isAbsolute(home) ? home : resolve(home) };
}

function withoutEmpty(variables: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).filter((entry): entry is [string, string] => !!entry[1]),
  );
}
