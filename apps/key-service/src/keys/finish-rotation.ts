import { ConflictException } from '@nestjs/common';
import type { FinishRotationBody, Key } from '#contracts';
import type { Mutation } from '../changes/mutations.js';
import { checkKeyVersion, lockKey, refuseRevoked, servicesOf } from './find-key.js';
import { keyChange, touchedOf, updateKey } from './key-change.js';
import { SecretEntity } from './secret.entity.js';
import { hasEnded, lastSecrets } from './secrets.js';
import { showKey } from './show-key.js';
import type { Work } from './work.js';

/** Which rotation is to be finished. */
export interface FinishOrder {
  id: string;
  body: FinishRotationBody;
  /** The `If-Match` header, if one was sent. */
  ifMatch: string | undefined;
}

/**
 * Ends the old secret of a key now, on every replica whatever its clock.
 *
 * @throws ConflictException where the key is revoked or no old secret is alive
 */
export async function finishRotation(
  work: Work,
  { id, body, ifMatch }: FinishOrder,
): Promise<Mutation<Key>> {
  const { manager, material } = work;
  const { key, grants } = await lockKey(work, id);
  refuseRevoked(key);
  await checkKeyVersion(work, key, ifMatch);
  const nowMs = material.now();
  const { previous } = await overlappingSecrets(work, id, nowMs);
  const { number, validUntil: before } = previous;
  const validUntil = new Date(nowMs);
  await manager.update(SecretEntity, { keyId: id, number }, { validUntil, ended: true });
  const finished = await updateKey(work, key, {});
  const change = keyChange(work, 'key.rotation_finished', {
    key: touchedOf(finished),
    services: servicesOf(grants),
    before: { secret: number, previousValidUntil: before },
    after: { secret: number + 1, previousValidUntil: validUntil, reason: body.reason ?? null },
  });
  const result = await showKey(manager, finished.id, nowMs);
  return { result, changes: [change], touched: [touchedOf(finished)] };
}

/** The current secret of a key and the one before it, which is still alive. @throws ConflictException where it is not */
export async function overlappingSecrets(
  work: Work,
  id: string,
  nowMs: number,
): Promise<{ current: SecretEntity; previous: SecretEntity }> {
  const [current, previous] = await lastSecrets(work, id);
  if (current && previous && !hasEnded(previous, nowMs)) return { current, previous };
  const detail = 'No rotation is under way: the key has one secret that is alive';
  throw new ConflictException(detail, { errorCode: 'CONFLICT' });
}
