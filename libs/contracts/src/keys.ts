import { z } from 'zod';
import { addressRange } from './address-range.js';
import { MAX_LIFETIME_SECONDS, rateLimit, rateLimits } from './catalog.js';
import { delivered, deliverTo, type Delivered } from './delivery.js';
import { unlessAtHome } from './messages.js';
import {
  anyInstant,
  displayName,
  instant,
  instantOut,
  metadata,
  newMetadata,
  page,
  pageOf,
  remark,
  scope,
  scopes,
  slug,
  tags,
} from './primitives.js';
import { propagation } from './propagation.js';

/** Id of a key: `key_` and the 16 base62 characters that its text carries. */
export const keyId = z
  .string()
  .regex(/^key_[0-9A-Za-z]{16}$/, 'Use an id such as key_3kTMd7QpXvB2nYcF');

export const environment = z.enum(['live', 'test']);
export type Environment = z.infer<typeof environment>;

/** The right to use some scopes of one service. */
export const grant = z
  .strictObject({ service: slug, scopes: scopes.min(1) })
  .meta({ id: 'Grant', examples: [{ service: 'service-a', scopes: ['reports:read'] }] });
export type Grant = z.infer<typeof grant>;

const grants = z
  .array(grant)
  .min(1)
  .max(20)
  .refine(
    (list) => new Set(list.map((one) => one.service)).size === list.length,
    'Grant each service once',
  )
  .meta({ examples: [[{ service: 'service-a', scopes: ['reports:read'] }]] });

/** A total to spend; `refill` adds `amount`, up to `limit`, at every day's or month's start in UTC. */
export const quota = z
  .strictObject({
    limit: z.int().min(1).max(1_000_000_000_000),
    refill: z
      .strictObject({
        amount: z.int().min(1).max(1_000_000_000_000),
        every: z.enum(['day', 'month']),
      })
      .meta({ examples: [{ amount: 1_000, every: 'month' }] })
      .optional(),
  })
  .meta({ id: 'Quota', examples: [{ limit: 1_000, refill: { amount: 1_000, every: 'month' } }] });
export type Quota = z.infer<typeof quota>;

const ipAllowlist = z
  .array(addressRange)
  .max(100)
  .meta({ examples: [['10.0.0.0/8']] });

/** Which times are taken, the policies say, that of the platform first: null for never. */
const expiresAt = anyInstant.nullable();

const NEVER = 'Use a whole number; a key that never ends has "expiresAt": null instead';
const expiresInSeconds = z
  .int({ error: ({ input }) => (input === null ? NEVER : undefined) })
  .min(1)
  .max(MAX_LIFETIME_SECONDS);

/** `POST /v1/keys`. Without an expiry the policy's default lifetime; `expiresAt: null` asks for none at all. */
export const createKeyBody = z
  .strictObject({
    name: displayName,
    consumer: slug,
    environment: environment.default('live'),
    grants,
    expiresAt: expiresAt.optional(),
    expiresInSeconds: expiresInSeconds.optional(),
    notBefore: instant.optional(),
    rateLimits: rateLimits.optional(),
    quota: quota.optional(),
    ipAllowlist: ipAllowlist.default([]),
    tags: tags.default([]),
    metadata: newMetadata.default({}),
    deliverTo: deliverTo.optional(),
  })
  .refine((body) => body.expiresAt === undefined || body.expiresInSeconds === undefined, {
    path: ['expiresInSeconds'],
    error: 'Give expiresAt or expiresInSeconds, not both',
  })
  .meta({ id: 'CreateKeyBody' });
export type CreateKeyBody = z.infer<typeof createKeyBody>;

const OF_STATUS = 'a key is stopped by POST /v1/keys/{id}/revoke or disable, and goes on by enable';
const OF_SECRET = 'a new secret is made by POST /v1/keys/{id}/rotate';
const OF_GOOD = 'what a key was issued for stays: issue another one by POST /v1/keys';

/** What people look for in a change of a key, and where it is. */
const HOMES = {
  ...{ status: OF_STATUS, enabled: OF_STATUS, disabled: OF_STATUS, revoked: OF_STATUS },
  ...{ secret: OF_SECRET, deliverTo: OF_SECRET },
  ...{ consumer: OF_GOOD, environment: OF_GOOD },
};

/** `PATCH /v1/keys/{id}`. */
export const patchKeyBody = z
  .strictObject(
    {
      name: displayName.optional(),
      grants: grants.optional(),
      expiresAt: expiresAt.optional(),
      expiresInSeconds: expiresInSeconds.optional(),
      notBefore: instant.nullable().optional(),
      rateLimits: rateLimits.optional(),
      /** Starts anew with the whole of its limit; null takes it away. */
      quota: quota.nullable().optional(),
      ipAllowlist: ipAllowlist.optional(),
      tags: tags.optional(),
      metadata: newMetadata.optional(),
    },
    { error: unlessAtHome(HOMES) },
  )
  .refine((body) => Object.keys(body).length > 0, 'Name at least one property to change')
  .refine((body) => body.expiresAt === undefined || body.expiresInSeconds === undefined, {
    path: ['expiresInSeconds'],
    error: 'Give expiresAt or expiresInSeconds, not both',
  })
  .meta({ id: 'PatchKeyBody' });
export type PatchKeyBody = z.infer<typeof patchKeyBody>;

export const keyStatus = z.enum(['active', 'disabled', 'revoked', 'expired']);
export type KeyStatus = z.infer<typeof keyStatus>;

/** Why a key is revoked: 1 to 128 characters of the caller's own; `comment` has room for more. */
export const revocationReason = displayName.meta({
  examples: ['compromised', 'leaked', 'superseded', 'retired'],
});

/** A key as management routes show it. Nothing here opens anything: the secret is never in it. */
export const key = z
  .object({
    id: keyId,
    name: z.string(),
    consumer: slug,
    environment,
    grants: z.array(z.object({ service: slug, scopes: z.array(scope) })),
    status: keyStatus,
    notBefore: instantOut.nullable(),
    expiresAt: instantOut.nullable(),
    rateLimits: z.array(rateLimit),
    quota: z
      .object({
        limit: z.int(),
        remaining: z.int(),
        refill: z.object({ amount: z.int(), every: z.enum(['day', 'month']) }).nullable(),
      })
      .nullable(),
    ipAllowlist: z.array(z.string()),
    tags: z.array(z.string()),
    metadata,
    hint: z.object({ prefix: z.string(), last4: z.string() }),
    rotation: z
      .object({ state: z.enum(['overlapping', 'finished']), previousValidUntil: instantOut })
      .nullable(),
    origin: z.enum(['issued', 'imported']),
    createdAt: instantOut,
    createdBy: z.string(),
    updatedAt: instantOut,
    lastUsedAt: instantOut.nullable(),
    revokedAt: instantOut.nullable(),
    revocationReason: z.string().nullable(),
    version: z.int(),
  })
  .meta({ id: 'Key' });
export type Key = z.infer<typeof key>;

/** Answer of create: `secret` is the key's whole text, shown this once. */
export const issuedKey = z.object({ key, secret: z.string() }).meta({ id: 'IssuedKey' });
export type IssuedKey = z.infer<typeof issuedKey>;

/** `POST /v1/keys/{id}/rotate`; `overlapSeconds` defaults to the policy's, 0 ends the old secret at once. */
export const rotateKeyBody = z
  .strictObject({
    overlapSeconds: z.int().min(0).max(MAX_LIFETIME_SECONDS).optional(),
    reason: remark.optional(),
    deliverTo: deliverTo.optional(),
  })
  .meta({ id: 'RotateKeyBody' });
export type RotateKeyBody = z.infer<typeof rotateKeyBody>;

/** `POST /v1/self/rotate`: a holder gets the new secret, and has no say in where others keep theirs. */
export const rotateOwnKeyBody = rotateKeyBody
  .omit({ deliverTo: true })
  .meta({ id: 'RotateOwnKeyBody' });
export type RotateOwnKeyBody = z.infer<typeof rotateOwnKeyBody>;

/** Answer of rotate. `previous.validUntil` is when the old secret ends. */
export const rotatedKey = z
  .object({
    key,
    secret: z.string(),
    previous: z.object({ validUntil: instantOut }),
  })
  .meta({ id: 'RotatedKey' });
export type RotatedKey = z.infer<typeof rotatedKey>;

/** Answer of create with `deliverTo`: nobody sees the secret. */
export type DeliveredKey = Omit<IssuedKey, 'secret'> & { delivered: Delivered };
/** Answer of rotate with `deliverTo`. */
export type DeliveredRotation = Omit<RotatedKey, 'secret'> & { delivered: Delivered };

/**
 * The same answers as they are described: repeated by Idempotency-Key they come without their secret after 10 minutes, and
 * with `deliverTo` they tell where it is in place of it.
 */
export const repeatedIssuedKey = issuedKey
  .extend({ secret: z.string().optional(), delivered: delivered.optional() })
  .meta({ id: 'IssuedKeyAnswer' });
export const repeatedRotatedKey = rotatedKey
  .extend({ secret: z.string().optional(), delivered: delivered.optional() })
  .meta({ id: 'RotatedKeyAnswer' });

/** `POST /v1/keys/{id}/revoke`. */
export const revokeKeyBody = z
  .strictObject({ reason: revocationReason, comment: remark.optional() })
  .meta({ id: 'RevokeKeyBody' });
export type RevokeKeyBody = z.infer<typeof revokeKeyBody>;

/** Answer of revoke, disable and enable. */
export const changedKey = z.object({ key, propagation }).meta({ id: 'ChangedKey' });
export type ChangedKey = z.infer<typeof changedKey>;

/** `GET /v1/keys`. */
export const listKeysQuery = z.strictObject({
  ...page,
  service: slug.optional(),
  consumer: slug.optional(),
  status: keyStatus.optional(),
  tag: displayName.max(64).optional(),
  environment: environment.optional(),
  /** Keys that end before this time, the soonest first. */
  expiresBefore: instant.optional(),
  /** Keys made before this time and not used since, the longest unused first. */
  unusedSince: instant.optional(),
  /** Part of the name, or a whole id, or the last four characters of a secret. */
  q: displayName.optional(),
});
export type ListKeysQuery = z.infer<typeof listKeysQuery>;
export const keyPage = pageOf(key);
