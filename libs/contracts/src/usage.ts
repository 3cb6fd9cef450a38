import { z } from 'zod';
import { keyId } from './keys.js';
import { instant, instantOut, slug } from './primitives.js';
import { verdictCode } from './verdict.js';

/** Lengths of the periods that usage is counted in; each starts at a whole one in UTC. */
export const granularity = z.enum(['minute', 'hour', 'day']);
export type Granularity = z.infer<typeof granularity>;

/** Most periods that one answer may span. */
export const MAX_USAGE_POINTS = 2_000;

/**
 * `GET /v1/usage`. The range is widened to whole periods and spans at most 2,000 of them. `to` is not part of it and is now
 * by default; `from` is by default 60 minutes, 48 hours or 30 days before it.
 */
export const usageQuery = z.strictObject({
  keyId: keyId.optional(),
  consumer: slug.optional(),
  service: slug.optional(),
  from: instant.optional(),
  to: instant.optional(),
  granularity: granularity.default('hour'),
});
export type UsageQuery = z.infer<typeof usageQuery>;

/** How many verifications of one period had each outcome. */
export const usagePoint = z
  .object({
    from: instantOut,
    counts: z.partialRecord(verdictCode, z.int()),
    total: z.int(),
  })
  .meta({ id: 'UsagePoint' });
export type UsagePoint = z.infer<typeof usagePoint>;

/** Answer of `GET /v1/usage`: the periods in order, without those in which nothing was counted. */
export const usageReport = z
  .object({ from: instantOut, to: instantOut, granularity, data: z.array(usagePoint) })
  .meta({ id: 'UsageReport' });
export type UsageReport = z.infer<typeof usageReport>;

/** What a guard decided by itself on one key in one minute with one outcome. */
export const usageEntry = z
  .strictObject({
    keyId,
    /** Number of the presented secret, as the verdict said. */
    secretNumber: z.int().min(1).max(1_000_000_000).optional(),
    /** Whether the verdict said that the secret is superseded. */
    superseded: z.boolean().optional(),
    code: verdictCode,
    /** Any time within the minute. */
    minute: instant,
    count: z.int().min(1).max(1_000_000_000),
  })
  .meta({ id: 'UsageEntry' });
export type UsageEntry = z.infer<typeof usageEntry>;

/** `POST /v1/usage`: a batch is counted once, however often it is sent under its `batchId`. */
export const usageBatch = z
  .strictObject({
    batchId: z.uuid('Use a UUID, a new one for each batch'),
    entries: z.array(usageEntry).min(1).max(1_000),
  })
  .meta({ id: 'UsageBatch' });
export type UsageBatch = z.infer<typeof usageBatch>;

/**
 * Answer of `POST /v1/usage`, in entries. Ignored are those about keys that are not granted for the caller, and about
 * minutes more than an hour ago or still to come.
 */
export const takenUsage = z
  .object({ accepted: z.int(), ignored: z.int() })
  .meta({ id: 'TakenUsage' });
export type TakenUsage = z.infer<typeof takenUsage>;
