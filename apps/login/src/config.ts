import { z } from 'zod';
import { AUDIENCES, slug } from '#contracts';
import { databaseUrl } from '#postgres';
import { isRedisUrl, NO_REDIS_URL } from '#redis-client';
import { checkTokenEnv, loadConfig, port, secretBytes, serverEnv, tokenEnv } from '#server';

/** What login needs of its database and secret, for its server and for {@link file://./bootstrap.ts}. */
export const storeEnv = z.object({
  /** PostgreSQL as the runtime role. */
  LOGIN_DATABASE_URL: databaseUrl.optional(),
  DATABASE_URL: databaseUrl.optional(),
  /** Root of the keys that hash refresh tokens and client secrets and seal signing keys. */
  LOGIN_SECRET: secretBytes,
});

/** Whether settings name a database; {@link NO_DATABASE} says what to do where they do not. */
export function namesDatabase(env: z.infer<typeof storeEnv>): boolean {
  return env.LOGIN_DATABASE_URL !== undefined || env.DATABASE_URL !== undefined;
}

export const NO_DATABASE = {
  path: ['LOGIN_DATABASE_URL'],
  error: 'is required (or DATABASE_URL)',
};

/** Settings of login. */
export const loginEnv = serverEnv
  .extend(storeEnv.shape)
  .extend(tokenEnv.shape)
  .extend({
    LOGIN_PORT: port.default(4001),
    /** Redis for the counting of guesses; without it each process counts for itself. */
    REDIS_URL: z.string().refine(isRedisUrl, NO_REDIS_URL).optional(),
    /** `iss` of tokens, and the base of the addresses in the metadata; by default where login listens. */
    TOKEN_ISSUER: z
      .url()
      .transform((url) => url.replace(/\/+$/, ''))
      .optional(),
    /** More services that people's tokens are good at, comma-separated slugs; a new one counts for new tokens. */
    TOKEN_AUDIENCES: z
      .string()
      .default('')
      .transform((text) => text.split(',').filter((one) => one.trim() !== ''))
      .pipe(z.array(z.string().trim().pipe(slug)).max(50)),
    /** Logins a minute of one address for one account; one address may make five times as many in all. */
    LOGIN_RATE_PER_MINUTE: z.coerce.number().int().min(1).max(100_000).default(60),
  })
  .refine((env) => env.NODE_ENV !== 'production' || env.REDIS_URL !== undefined, {
    path: ['REDIS_URL'],
    error: 'is required in production',
  })
  .superRefine(checkTokenEnv)
  .refine(namesDatabase, NO_DATABASE);
export type LoginEnv = z.infer<typeof loginEnv>;

/** Settings of login from its environment. @throws ConfigError */
export function loadLoginConfig(): LoginEnv {
  return loadConfig(loginEnv);
}

/** `iss` of the tokens that login issues. */
export function issuerOf(env: LoginEnv): string {
  return env.TOKEN_ISSUER ?? `http://127.0.0.1:${env.LOGIN_PORT}`;
}

/** URL of the database as the runtime role, and the setting that it is from. */
export function databaseOf(env: z.infer<typeof storeEnv>): { variable: string; url: string } {
  if (env.LOGIN_DATABASE_URL === undefined)
    return { variable: 'DATABASE_URL', url: env.DATABASE_URL! };
  return { variable: 'LOGIN_DATABASE_URL', url: env.LOGIN_DATABASE_URL };
}

/** Services that people's tokens are good at: the platform's own and those that the settings name. */
export function audiencesOf(env: LoginEnv): string[] {
  return [...new Set([...AUDIENCES, ...env.TOKEN_AUDIENCES])];
}
