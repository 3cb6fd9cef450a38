import { z } from 'zod';
import { policy, rateLimit } from './catalog.js';
import { instantOut, metadata } from './primitives.js';

/**
 * What a guard may ask for with a question: all that it needs to decide on the key by itself for a while, and `permits`, units
 * of the key's limits to be taken beforehand for requests to come, beside the `cost` of this one. With `counted` the guard counts
 * the use of this question itself and reports it with what it decides (`POST /v1/usage`): asked twice, it counts once. Verdicts
 * that name no key are counted all the same.
 */
export const leaseWish = z
  .strictObject({ permits: z.int().min(0).max(1_000), counted: z.boolean().optional() })
  .meta({ id: 'LeaseWish' });
export type LeaseWish = z.infer<typeof leaseWish>;

/**
 * What a guard gets that asked for it, beside what the verdict says of the key. It is there where the key itself is alive,
 * whatever the verdict on this one question. The guard must ask anew when the change feed names the key.
 */
export const lease = z
  .object({
    /** First moment at which the key may be used; null for always. */
    notBefore: instantOut.nullable(),
    /** Addresses and CIDR blocks that it may be used from; empty for everywhere. */
    ipAllowlist: z.array(z.string()),
    rateLimits: z.array(rateLimit),
    /** Whether the key has a quota, too. */
    hasQuota: z.boolean(),
    /** Metadata of the key, where the verdict itself does not say it. */
    metadata: metadata.optional(),
    /** Units that were taken beforehand; at most as many as wished. They are spent, whether they are used or not. */
    permits: z.int(),
    /** Of the service's policy: for how long a verdict may be used while nobody can be asked, and for which scopes never. */
    graceSeconds: policy.shape.graceSeconds,
    sensitiveScopes: policy.shape.sensitiveScopes,
  })
  .meta({ id: 'Lease' });
export type Lease = z.infer<typeof lease>;
