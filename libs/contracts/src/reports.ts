import { z } from 'zod';
import { rateLimits, MAX_LIFETIME_SECONDS } from './catalog.js';
import { deliverTo } from './delivery.js';
import { unlessAtHome } from './messages.js';
import { displayName, instantOut, page, pageOf, scopes, slug } from './primitives.js';

/** A report of service-a: the resource that API keys protect. */
export const report = z
  .object({ id: z.string(), title: z.string(), createdAt: instantOut })
  .meta({ id: 'Report' });
export type Report = z.infer<typeof report>;

export const createReportBody = z
  .strictObject({ title: displayName })
  .meta({ id: 'CreateReportBody' });
export type CreateReportBody = z.infer<typeof createReportBody>;

export const listReportsQuery = z.strictObject({ ...page });
export type ListReportsQuery = z.infer<typeof listReportsQuery>;
export const reportPage = pageOf(report);
export type ReportPage = z.infer<typeof reportPage>;

/** `POST /v1/api-keys` at service-a: a key for this service only. */
export const provisionKeyBody = z
  .strictObject(
    {
      name: displayName,
      consumer: slug,
      scopes: scopes.min(1),
      expiresInSeconds: z.int().min(1).max(MAX_LIFETIME_SECONDS).optional(),
      rateLimits: rateLimits.optional(),
      deliverTo: deliverTo.optional(),
    },
    {
      error: unlessAtHome({
        grants: 'keys are for this service only: name its scopes',
        expiresAt: 'say in expiresInSeconds how long the key lives',
      }),
    },
  )
  .meta({ id: 'ProvisionKeyBody' });
export type ProvisionKeyBody = z.infer<typeof provisionKeyBody>;

/** `GET /v1/summary` at service-b. */
export const summary = z
  .object({ reports: z.int(), latest: z.string().nullable(), titles: z.array(z.string()) })
  .meta({ id: 'Summary' });
export type Summary = z.infer<typeof summary>;

/** `GET /v1/key-status` at service-b: which key it uses, never the key. */
export const keyInUse = z
  .object({
    configured: z.boolean(),
    keyId: z.string().nullable(),
    /** Tells secrets of one key apart: 8 hexadecimal digits of the text's SHA-256. */
    secretVersion: z.string().nullable(),
    /** Provider that it comes from: `env`, `file`, `vault` or `aws`. */
    source: z.string(),
    /** When it was last read there. */
    refreshedAt: instantOut.nullable(),
  })
  .meta({ id: 'KeyInUse' });
export type KeyInUse = z.infer<typeof keyInUse>;
