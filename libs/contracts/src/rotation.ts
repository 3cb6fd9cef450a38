import { z } from 'zod';
import { MAX_LIFETIME_SECONDS } from './catalog.js';
import { instantOut, remark } from './primitives.js';

/**
 * `GET /v1/keys/{id}/rotation`. `previous` is the secret that the last rotation replaced, null where there was none.
 * `usesSinceRotation` counts valid verifications with it after it was replaced. `safeToRetire` says that ending it now would
 * go unnoticed: it has ended, or nobody has presented it for a while although the key is in use.
 */
export const rotationStatus = z
  .object({
    previous: z
      .object({
        validUntil: instantOut,
        lastUsedAt: instantOut.nullable(),
        usesSinceRotation: z.int(),
      })
      .nullable(),
    safeToRetire: z.boolean(),
  })
  .meta({ id: 'RotationStatus' });
export type RotationStatus = z.infer<typeof rotationStatus>;

/** `POST /v1/keys/{id}/rotation/finish`. */
export const finishRotationBody = z
  .strictObject({ reason: remark.optional() })
  .meta({ id: 'FinishRotationBody' });
export type FinishRotationBody = z.infer<typeof finishRotationBody>;

/** `POST /v1/keys/{id}/rotation/extend`: the old secret goes on for `overlapSeconds` from now. */
export const extendRotationBody = z
  .strictObject({
    overlapSeconds: z.int().min(1).max(MAX_LIFETIME_SECONDS),
    reason: remark.optional(),
  })
  .meta({ id: 'ExtendRotationBody' });
export type ExtendRotationBody = z.infer<typeof extendRotationBody>;
