import type { ExtendRotationBody, Key } from '#contracts';
import { resolveOverlap } from '#key-core';
import type { Mutation } from '../changes/mutations.js';
import { overlappingSecrets } from './finish-rotation.js';
import { checkKeyVersion, lockKey, refuseRevoked, servicesOf, type LockedKey } from './find-key.js';
import { keyChange, touchedOf, updateKey } from './key-change.js';
import { lockRuling, refuseFaults } from './key-policy.js';
import { SecretEntity } from './secret.entity.js';
import { showKey } from './show-key.js';
import type { Work } from './work.js';

/** Which rotation is to be extended, and for how long. */
export interface ExtendOrder {
  id: string;
  body: ExtendRotationBody;
  /** The `If-Match` header, if one was sent. */
  ifMatch: string | undefined;
}

/**
 * Moves the end of a key's old secret to a time from now, earlier ones too. It ends at the latest with the key, and when the
 * longest overlap of the policy is over, counted from the rotation: extending again and again does not go beyond it.
 *
 * @throws ProblemException POLICY_VIOLATION where the policy allows no overlap that long
 * @throws ConflictException where the key is revoked or no old secret is alive
 */
export async function extendRotation(
  work: Work,
  { id, body, ifMatch }: ExtendOrder,
): Promise<Mutation<Key>> {
  const { manager, material } = work;
  const locked = await lockKey(work, id);
  const { key, grants } = locked;
  refuseRevoked(key);
  await checkKeyVersion(work, key, ifMatch);
  const nowMs = material.now();
  const { current, previous } = await overlappingSecrets(work, id, nowMs);
  const { number, validUntil: before } = previous;
  const rotatedMs = current.createdAt.getTime();
  const validUntil = await endOf(work, locked, { ...body, nowMs, rotatedMs });
  await manager.update(SecretEntity, { keyId: id, number }, { validUntil });
  const extended = await updateKey(work, key, {});
  const change = keyChange(work, 'key.rotation_extended', {
    key: touchedOf(extended),
    services: servicesOf(grants),
    before: { secret: number, previousValidUntil: before },
    after: { secret: number, previousValidUntil: validUntil, reason: body.reason ?? null },
  });
  const result = await showKey(manager, extended.id, nowMs);
  return { result, changes: [change], touched: [touchedOf(extended)] };
}

async function endOf(
  work: Work,
  { key, grants }: LockedKey,
  times: { overlapSeconds: number; nowMs: number; rotatedMs: number },
): Promise<Date> {
  const { overlapSeconds, nowMs, rotatedMs } = times;
  const policies = (await lockRuling(work, grants)).map((one) => one.policy);
  const overlap = resolveOverlap(overlapSeconds, policies);
  if (Array.isArray(overlap)) return refuseFaults(overlap) as never;
  const longestMs = Math.min(...policies.map((one) => one.maxOverlapSeconds)) * 1_000;
  const endMs = Math.min(
    nowMs + overlap.seconds * 1_000,
    rotatedMs + longestMs,
    key.expiresAt?.getTime() ?? Infinity,
  );
  if (endMs <= nowMs) {
    const detail = 'The longest overlap that the policy allows is over; finish the rotation';
    refuseFaults([{ pointer: '/overlapSeconds', detail }]);
  }
  return new Date(endMs);
}
