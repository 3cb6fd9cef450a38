import { z } from 'zod';
import { importId } from './imports.js';
import { keyId, revokeKeyBody } from './keys.js';
import { instant, keptTags, slug } from './primitives.js';
import { propagation } from './propagation.js';

/** Most key ids that the answer to a bulk revocation names. */
export const MAX_REVOKED_NAMED = 1_000;

const filter = z
  .strictObject({
    consumer: slug.optional(),
    service: slug.optional(),
    tag: keptTags.element.optional(),
    createdBefore: instant.optional(),
    /** Keys of an import. */
    import: importId.optional(),
    /** Imported keys whose hash was flagged as weak, or those whose hash was not. */
    weak: z.boolean().optional(),
  })
  .refine(
    (members) => Object.keys(members).length > 0,
    'Name at least one of consumer, service, tag, createdBefore, import and weak',
  )
  .meta({ examples: [{ consumer: 'service-b' }] });

/** `POST /v1/keys/revoke`: every key that fits all members of the filter; with `dryRun` it only says which. */
export const revokeKeysBody = z
  .strictObject({ filter, ...revokeKeyBody.shape, dryRun: z.boolean().default(false) })
  .meta({ id: 'RevokeKeysBody' });
export type RevokeKeysBody = z.infer<typeof revokeKeysBody>;

/** `matched` keys fit and were not revoked before; `keyIds` names the first thousand of them, the oldest first. */
export const revokedKeys = z
  .object({
    matched: z.int(),
    revoked: z.int(),
    keyIds: z.array(keyId).max(MAX_REVOKED_NAMED),
    propagation,
  })
  .meta({ id: 'RevokedKeys' });
export type RevokedKeys = z.infer<typeof revokedKeys>;
