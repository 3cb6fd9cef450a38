import { z } from 'zod';
import {
  displayName,
  instantOut,
  metadata,
  newMetadata,
  page,
  pageOf,
  remark,
  scope,
  slug,
} from './primitives.js';

const DAY = 86_400;

/** Longest time a key may be given to live, in seconds: ten years. */
export const MAX_LIFETIME_SECONDS = 3_650 * DAY;

/**
 * A rate limit: `limit` units in any `windowSeconds`, by GCRA. Names are unique within a key. With `sharedBy: 'consumer'` all
 * keys of the consumer that have a limit of this name and window spend from one bucket at each service, each its own fraction
 * where their sizes differ.
 */
export const rateLimit = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9-]{1,32}$/, 'Use 1 to 32 lower-case letters, digits or hyphens'),
    limit: z.int().min(1).max(1_000_000_000),
    windowSeconds: z
      .int()
      .min(1)
      .max(30 * DAY),
    sharedBy: z.literal('consumer').optional(),
  })
  .meta({ id: 'RateLimit', examples: [{ name: 'burst', limit: 100, windowSeconds: 60 }] });
export type RateLimit = z.infer<typeof rateLimit>;

/** How many rate limits a key carries at most. */
export const MAX_RATE_LIMITS = 5;

/** Rate limits of a key, each under its own name. */
export const rateLimits = z
  .array(rateLimit)
  .max(MAX_RATE_LIMITS)
  .refine(
    (list) => new Set(list.map((one) => one.name)).size === list.length,
    'Give each rate limit its own name',
  )
  .meta({ examples: [[{ name: 'burst', limit: 100, windowSeconds: 60 }]] });

/** A service's scopes: at most 200, each once. */
const catalogue = z
  .array(scope)
  .max(200)
  .refine((list) => new Set(list).size === list.length, 'Name each scope once')
  .meta({ examples: [['reports:read']] });

const seconds = z.int().min(0).max(MAX_LIFETIME_SECONDS);

/** What a service demands of the keys that are granted for it. Durations in seconds. */
export const policy = z
  .strictObject({
    /** First part of the key's text, 1 to 12 of `a-z0-9`. */
    keyPrefix: z.string().regex(/^[a-z0-9]{1,12}$/, 'Use 1 to 12 lower-case letters or digits'),
    /** Life of a key that names no expiry. */
    defaultLifetimeSeconds: seconds.min(1),
    /** Longest life, or null for no bound of the service's own. */
    maxLifetimeSeconds: seconds.min(1).nullable(),
    /** Whether a key without an expiry is refused. */
    expiryRequired: z.boolean(),
    /** How long the old secret goes on after a rotation that names no overlap. */
    defaultOverlapSeconds: seconds,
    maxOverlapSeconds: seconds,
    /** Limits of a key that names none. */
    defaultRateLimits: rateLimits,
    /**
     * For each of these a key carries a limit of the same name whose rate is not above it, nor what it lets through at once;
     * for one that is shared by the consumer, one that is shared too.
     */
    maxRateLimits: rateLimits,
    /** Whether a key is refused without a list of addresses, or with one that has a range wider than /8 or, in IPv6, /16. */
    ipAllowlistRequired: z.boolean(),
    /** Scopes that may be granted, with all that a wildcard among them covers; null for the whole catalogue. */
    grantableScopes: catalogue.nullable(),
    /** Scopes that no guard lets pass on an old verdict. */
    sensitiveScopes: catalogue,
    /** How long a guard may use a verdict while the key service is away; 0 switches that off. */
    graceSeconds: z.int().min(0).max(3_600),
  })
  .meta({ id: 'Policy' });
export type Policy = z.infer<typeof policy>;

const partOfPolicy = policy
  .partial()
  .meta({ examples: [{ expiryRequired: true, maxLifetimeSeconds: 31_536_000 }] });

/** The policy of a service that names none. */
export const DEFAULT_POLICY: Policy = {
  keyPrefix: 'kw',
  defaultLifetimeSeconds: 90 * DAY,
  maxLifetimeSeconds: null,
  expiryRequired: false,
  defaultOverlapSeconds: DAY,
  maxOverlapSeconds: 30 * DAY,
  defaultRateLimits: [],
  maxRateLimits: [],
  ipAllowlistRequired: false,
  grantableScopes: null,
  sensitiveScopes: [],
  graceSeconds: 60,
};

/** A service: an audience with its scope catalogue and policy. */
export const service = z
  .object({
    slug,
    name: z.string(),
    scopes: z.array(scope),
    policy,
    createdAt: instantOut,
    updatedAt: instantOut,
    version: z.int(),
  })
  .meta({ id: 'Service' });
export type Service = z.infer<typeof service>;

/** `POST /v1/services`; `name` defaults to the slug, what the policy leaves out to {@link DEFAULT_POLICY}. */
export const createServiceBody = z
  .strictObject({
    slug,
    name: displayName.optional(),
    scopes: catalogue,
    policy: partOfPolicy.optional(),
  })
  .meta({ id: 'CreateServiceBody' });
export type CreateServiceBody = z.infer<typeof createServiceBody>;

/** `PATCH /v1/services/{slug}`; the policy is merged. */
export const patchServiceBody = z
  .strictObject({
    name: displayName.optional(),
    scopes: catalogue.optional(),
    policy: partOfPolicy.optional(),
  })
  .refine((body) => Object.keys(body).length > 0, 'Name at least one property to change')
  .meta({ id: 'PatchServiceBody' });
export type PatchServiceBody = z.infer<typeof patchServiceBody>;

export const listServicesQuery = z.strictObject({ ...page });
export type ListServicesQuery = z.infer<typeof listServicesQuery>;
export const servicePage = pageOf(service);

/** A consumer: who holds keys. Disabling it stops all of them. */
export const consumer = z
  .object({
    slug,
    name: z.string(),
    contact: z.string().nullable(),
    metadata,
    enabled: z.boolean(),
    createdAt: instantOut,
    updatedAt: instantOut,
    version: z.int(),
  })
  .meta({ id: 'Consumer' });
export type Consumer = z.infer<typeof consumer>;

/** `POST /v1/consumers`; `name` defaults to the slug. */
export const createConsumerBody = z
  .strictObject({
    slug,
    name: displayName.optional(),
    contact: remark.max(256).nullable().optional(),
    metadata: newMetadata.optional(),
    enabled: z.boolean().optional(),
  })
  .meta({ id: 'CreateConsumerBody' });
export type CreateConsumerBody = z.infer<typeof createConsumerBody>;

/** `PATCH /v1/consumers/{slug}`. */
export const patchConsumerBody = z
  .strictObject({
    name: displayName.optional(),
    contact: remark.max(256).nullable().optional(),
    metadata: newMetadata.optional(),
    enabled: z.boolean().optional(),
  })
  .refine((body) => Object.keys(body).length > 0, 'Name at least one property to change')
  .meta({ id: 'PatchConsumerBody' });
export type PatchConsumerBody = z.infer<typeof patchConsumerBody>;

export const listConsumersQuery = z.strictObject({ ...page });
export type ListConsumersQuery = z.infer<typeof listConsumersQuery>;
export const consumerPage = pageOf(consumer);
