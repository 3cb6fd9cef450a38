import { z } from 'zod';
import { databaseUrl } from '#postgres';
import { isRedisUrl, NO_REDIS_URL } from '#redis-client';
import { checkTokenEnv, loadConfig, port, secretBytes, serverEnv, tokenEnv } from '#server';

/** Settings of the key service. */
export const keyServiceEnv = serverEnv
  .extend(tokenEnv.shape)
  .extend({
    KEY_SERVICE_PORT: port.default(4002),
    /** PostgreSQL as the runtime role; several hosts may be named, the writable one is used. */
    KEY_SERVICE_DATABASE_URL: databaseUrl.optional(),
    DATABASE_URL: databaseUrl.optional(),
    /** Redis for the validation cache and rate-limit counters; without it one process keeps the counters itself. */
    REDIS_URL: z.string().refine(isRedisUrl, NO_REDIS_URL).optional(),
    /** Root of the keys that seal cache entries, cursors and idempotency records. */
    KEY_SERVICE_SECRET: secretBytes,
    /** Peppers of key digests, `1:<base64>,2:<base64>`; one stays as long as a digest made with it does. */
    KEY_PEPPERS: z.string().min(1),
    /** Version of the pepper for new digests; the highest by default. */
    KEY_PEPPER_CURRENT: z.coerce.number().int().min(1).optional(),
    /** Base URL of the login service, without a slash at the end. */
    LOGIN_URL: z.url().transform((url) => url.replace(/\/+$/, '')),
    /** `iss` of tokens, where it is not LOGIN_URL. */
    TOKEN_ISSUER: z.string().min(1).optional(),
    /** Path of a JSON file that describes where secrets may be delivered to; nowhere by default. */
    DELIVERY_TARGETS: z.string().min(1).optional(),
    /** Most keys that one person may make in a minute, at each replica. */
    KEY_CREATIONS_PER_MINUTE: z.coerce.number().int().min(1).max(1_000_000).default(20_000),
    /** Longest life of a cache entry, in seconds. */
    CACHE_TTL_SECONDS: z.coerce.number().int().min(1).max(3_600).default(60),
    /** How long known keys go on while PostgreSQL does not answer, in seconds. */
    GRACE_SECONDS: z.coerce.number().int().min(0).max(3_600).default(300),
  })
  .superRefine(checkTokenEnv)
  .refine((env) => env.NODE_ENV !== 'production' || env.REDIS_URL !== undefined, {
    path: ['REDIS_URL'],
    error: 'is required in production',
  })
  .refine((env) => env.KEY_SERVICE_DATABASE_URL !== undefined || env.DATABASE_URL !== undefined, {
    path: ['KEY_SERVICE_DATABASE_URL'],
    error: 'is required (or DATABASE_URL)',
  });
export type KeyServiceEnv = z.infer<typeof keyServiceEnv>;

/** Settings of the key service from its environment. @throws ConfigError */
export function loadKeyServiceConfig(): KeyServiceEnv {
  return loadConfig(keyServiceEnv);
}

/** `iss` that tokens must carry. */
export function issuerOf(env: KeyServiceEnv): string {
  return env.TOKEN_ISSUER ?? env.LOGIN_URL;
}
