import { z } from 'zod';
import { holdsNoSecret, NO_SECRET, slug } from './primitives.js';

const NAME = '[A-Za-z0-9_=@+-][A-Za-z0-9_.=@+-]*';

/**
 * Where a new secret is put, so that nobody sees it: a provider that the operator of the key service has configured, and a
 * place that they allow there. Addresses and credentials are theirs alone.
 */
export const deliverTo = z
  .strictObject({
    provider: slug,
    /** Path in Vault, name of a secret in AWS, file in the provider's folder. */
    path: z
      .string()
      .min(1)
      .max(256)
      .regex(
        new RegExp(`^${NAME}(?:/${NAME})*$`),
        'Use names of letters, digits or . _ = @ + - joined by slashes, none of which begins with a dot',
      )
      .refine(holdsNoSecret, NO_SECRET),
    /** Of a secret with several fields; the provider's own by default. */
    field: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'Use 1 to 64 letters, digits or . _ -')
      .refine(holdsNoSecret, NO_SECRET)
      .optional(),
  })
  .meta({
    id: 'DeliverTo',
    examples: [{ provider: 'vault', path: 'keyward/service-b' }],
  });
export type DeliverTo = z.infer<typeof deliverTo>;

/** Where a secret was put; `version` as the provider names it, null where it has no versions. */
export const delivered = z
  .object({ provider: slug, path: z.string(), version: z.string().nullable() })
  .meta({ id: 'Delivered' });
export type Delivered = z.infer<typeof delivered>;
