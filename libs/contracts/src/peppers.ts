import { z } from 'zod';

/** Answer of `GET /v1/peppers`: what is left of each version, the newest first; never a pepper itself. */
export const pepperReport = z
  .object({
    /** Version that digests are made with. */
    current: z.int(),
    data: z.array(
      z.object({
        version: z.int(),
        /** Whether it is in KEY_PEPPERS of the replica that answers. */
        isAtHand: z.boolean(),
        /** Keys that could still open, and their secrets, with a digest of this version. */
        keys: z.int(),
        secrets: z.int(),
        /** Imports that were begun with it: their schemes and hashes are sealed with it for good. */
        imports: z.int(),
      }),
    ),
  })
  .meta({ id: 'PepperReport' });
export type PepperReport = z.infer<typeof pepperReport>;
