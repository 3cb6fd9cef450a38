import { z } from 'zod';
import { service } from './catalog.js';
import { keyId } from './keys.js';
import { page, pageOf, slug } from './primitives.js';

/** Most key ids that the answer to a changed policy names; the page of violations has them all. */
export const MAX_VIOLATIONS_NAMED = 100;

/**
 * Answer of `PATCH /v1/services/{slug}`: the service, and which keys that still live break its policy as it now is; null where
 * the change is done but they could not be counted.
 */
export const patchedService = service
  .extend({
    violations: z
      .object({ count: z.int(), keyIds: z.array(keyId).max(MAX_VIOLATIONS_NAMED) })
      .nullable()
      .meta({
        description: 'Null where the change is done but they could not be counted; read the list',
      }),
  })
  .meta({ id: 'PatchedService' });
export type PatchedService = z.infer<typeof patchedService>;

/** A key that lives and could not be made as it is today: what of it breaks the policy, and what would be right. */
export const violation = z
  .object({
    keyId,
    name: z.string(),
    consumer: slug,
    faults: z.array(z.object({ pointer: z.string(), detail: z.string() })),
  })
  .meta({ id: 'Violation' });
export type Violation = z.infer<typeof violation>;

/** `GET /v1/services/{slug}/violations`. */
export const listViolationsQuery = z.strictObject({ ...page });
export type ListViolationsQuery = z.infer<typeof listViolationsQuery>;
export const violationPage = pageOf(violation);
