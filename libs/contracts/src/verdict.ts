import { z } from 'zod';
import { rateLimit } from './catalog.js';
import type { ErrorCode } from './error-codes.js';
import { lease, leaseWish } from './lease.js';
import { instantOut, metadata, scope, slug } from './primitives.js';

/** Every outcome of a verification, in no order. `VALID` allows, all others refuse. */
export const VERDICT_CODES = [
  'VALID',
  'MALFORMED',
  'NOT_FOUND',
  'REVOKED',
  'EXPIRED',
  'SUPERSEDED',
  'NOT_YET_VALID',
  'DISABLED',
  'INSUFFICIENT_SCOPE',
  'IP_NOT_ALLOWED',
  'WRONG_ENVIRONMENT',
  'RATE_LIMITED',
  'QUOTA_EXCEEDED',
] as const;
export const verdictCode = z.enum(VERDICT_CODES).meta({ id: 'VerdictCode' });
export type VerdictCode = z.infer<typeof verdictCode>;
export type Refusal = Exclude<VerdictCode, 'VALID'>;

/**
 * What a protected service answers its caller for each refusal. Unknown id, wrong secret, another audience's key and junk
 * are one code, so that an answer outside never tells which (RFC 7662, section 2.2).
 */
export const PROBLEM_OF_REFUSAL = {
  MALFORMED: 'API_KEY_INVALID',
  NOT_FOUND: 'API_KEY_INVALID',
  REVOKED: 'API_KEY_REVOKED',
  EXPIRED: 'API_KEY_EXPIRED',
  SUPERSEDED: 'API_KEY_SUPERSEDED',
  NOT_YET_VALID: 'API_KEY_NOT_YET_VALID',
  DISABLED: 'API_KEY_DISABLED',
  INSUFFICIENT_SCOPE: 'INSUFFICIENT_SCOPE',
  IP_NOT_ALLOWED: 'IP_NOT_ALLOWED',
  WRONG_ENVIRONMENT: 'WRONG_ENVIRONMENT',
  RATE_LIMITED: 'RATE_LIMITED',
  QUOTA_EXCEEDED: 'QUOTA_EXCEEDED',
} as const satisfies Record<Refusal, ErrorCode>;

/** State of one rate limit after a verification; `resetSeconds` until the whole limit is free again. */
export const limitState = z.object({
  name: rateLimit.shape.name,
  limit: z.int(),
  remaining: z.int(),
  resetSeconds: z.number(),
});
export type LimitState = z.infer<typeof limitState>;

/** State of a quota; `resetsAt` is null where it is never refilled. */
export const quotaState = z.object({
  limit: z.int(),
  remaining: z.int(),
  resetsAt: instantOut.nullable(),
});
export type QuotaState = z.infer<typeof quotaState>;

/**
 * Answer of `POST /v1/keys/verify`. Members about the key are there only where the presented secret is the key's own and
 * the key is meant for the asking service.
 */
export const verdict = z
  .object({
    valid: z.boolean(),
    code: verdictCode,
    keyId: z.string().optional(),
    /** 1 for the first secret of the key, one more with each rotation. */
    secretNumber: z.int().optional(),
    consumer: slug.optional(),
    environment: z.enum(['live', 'test']).optional(),
    scopes: z.array(scope).optional(),
    expiresAt: instantOut.nullable().optional(),
    metadata: metadata.optional(),
    rateLimits: z.array(limitState).optional(),
    quota: quotaState.optional(),
    /** Until the same call may pass, where it was refused for a limit or the quota and time helps. */
    retryAfterSeconds: z.int().optional(),
    /** The call costs more than a limit or the quota ever holds: it will never pass. */
    costExceedsLimit: z.literal(true).optional(),
    /**
     * The call costs more than may be spent at once here while Redis is away and each replica has its share of a limit. It may pass
     * in parts, or when Redis is back: nobody knows when that is.
     */
    costExceedsShare: z.literal(true).optional(),
    rotation: z
      .object({
        superseded: z.literal(true),
        validUntil: instantOut,
        /** When the next secret was made. */
        since: instantOut.optional(),
      })
      .optional(),
    decision: z.object({
      source: z
        .enum(['cache', 'store'])
        .meta({ description: '`store` where it was read for this answer; else `cache`' }),
      asOf: instantOut,
      ttlSeconds: z.int(),
      version: z.int(),
      stale: z.boolean().optional(),
    }),
    /** Where the question asked for it and the key itself is alive. */
    lease: lease.optional(),
  })
  .meta({ id: 'Verdict' });
export type Verdict = z.infer<typeof verdict>;

/** Either all of a list, or at least one of `anyOf`. */
export const scopeRequirement = z.union(
  [z.array(scope).max(50), z.strictObject({ anyOf: z.array(scope).min(1).max(50) })],
  {
    error:
      'Use a list of at most 50 scopes such as ["reports:read"], or {"anyOf": [...]} with such a list',
  },
);
export type ScopeRequirement = z.infer<typeof scopeRequirement>;

/**
 * Body of `POST /v1/keys/verify`. `service` defaults to the caller; `key` is any string, however long, so that junk gets the
 * verdict `MALFORMED` and not an error.
 */
export const verifyBody = z
  .strictObject({
    key: z.string().max(64 * 1_024),
    service: slug.optional(),
    scopes: scopeRequirement.optional(),
    environment: z.enum(['live', 'test']).optional(),
    clientIp: z.union([z.ipv4(), z.ipv6()], { error: 'Use an IPv4 or IPv6 address' }).optional(),
    cost: z.int().min(1).max(1_000_000).optional(),
    dryRun: z.boolean().optional(),
    /** Asks for what a guard needs to decide on the key by itself for a while. */
    lease: leaseWish.optional(),
  })
  .meta({ id: 'VerifyBody' });
export type VerifyBody = z.infer<typeof verifyBody>;
