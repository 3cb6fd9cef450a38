import type { Key, RevokeKeyBody } from '#contracts';
import type { Mutation } from '../changes/mutations.js';
import { lockKey, servicesOf } from './find-key.js';
import { keyChange, touchedOf, updateKey } from './key-change.js';
import { showKey } from './show-key.js';
import type { Work } from './work.js';

/**
 * Revokes a key for good. One that is revoked already stays as it is, its reason too; it counts as touched, so that the
 * answer again says that no verification uses it.
 */
export async function revokeKey(
  work: Work,
  id: string,
  { reason, comment }: RevokeKeyBody,
): Promise<Mutation<Key>> {
  const { manager, material } = work;
  const { key, grants } = await lockKey(work, id);
  const nowMs = material.now();
  if (key.state === 'revoked') {
    const result = await showKey(manager, key.id, nowMs);
    return { result, changes: [], touched: [touchedOf(key)] };
  }
  const revoked = await updateKey(work, key, {
    state: 'revoked',
    revokedAt: new Date(nowMs),
    revocationReason: reason,
  });
  const change = keyChange(work, 'key.revoked', {
    key: touchedOf(revoked),
    services: servicesOf(grants),
    before: { state: key.state },
    after: { state: 'revoked', reason, comment: comment ?? null },
  });
  const result = await showKey(manager, revoked.id, nowMs);
  return { result, changes: [change], touched: [touchedOf(revoked)] };
}
