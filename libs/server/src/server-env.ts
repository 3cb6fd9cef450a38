import { z } from 'zod';

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
);

/** Settings that every app shares. */
export const serverEnv = z.object({
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development'),
  /** Address to listen on. */
  HOST: z.string().default('127.0.0.1'),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  /** Origins that browsers may call from, comma-separated; none by default. */
  CORS_ORIGINS: list.default([]),
  /** Addresses or CIDR blocks of proxies whose X-Forwarded-For is believed, comma-separated; none by default. */
  TRUST_PROXY: list.default([]),
  /** How long to go on serving after a stop signal while load balancers notice, in milliseconds. */
  DRAIN_MS: z.coerce.number().int().min(0).max(60_000).default(0),
});
export type ServerEnv = z.infer<typeof serverEnv>;

/** Schema of a port variable. */
export const port = z.coerce.number().int().min(1).max(65_535);

/** A secret of at least 32 bytes, base64 or base64url; whitespace around it is dropped. */
export const secretBytes = z
  .string()
  .trim()
  .regex(/^[A-Za-z0-9+/_-]+={0,2}$/, 'must be base64')
  .transform((text) => Buffer.from(text, 'base64'))
  .refine(
    (bytes) => bytes.length >= 32,
    'must be at least 32 bytes in base64 (openssl rand -base64 32)',
  )
  .refine((bytes) => new Set(bytes).size >= 8, 'must be random (openssl rand -base64 32)');
