import type { Key } from '#contracts';
import type { Mutation } from '../changes/mutations.js';
import { lockKey, refuseRevoked, servicesOf } from './find-key.js';
import { keyChange, touchedOf, updateKey } from './key-change.js';
import { showKey } from './show-key.js';
import type { Work } from './work.js';

/**
 * Disables a key, or enables it again. Where it is so already nothing changes.
 *
 * @throws ConflictException where it is revoked
 */
export async function switchKey(
  work: Work,
  id: string,
  state: 'active' | 'disabled',
): Promise<Mutation<Key>> {
  const { manager, material } = work;
  const { key, grants } = await lockKey(work, id);
  refuseRevoked(key);
  const nowMs = material.now();
  if (key.state === state) {
    const result = await showKey(manager, key.id, nowMs);
    return { result, changes: [], touched: [touchedOf(key)] };
  }
  const switched = await updateKey(work, key, { state });
  const change = keyChange(work, state === 'active' ? 'key.enabled' : 'key.disabled', {
    key: touchedOf(switched),
    services: servicesOf(grants),
    before: { state: key.state },
    after: { state },
  });
  const result = await showKey(manager, switched.id, nowMs);
  return { result, changes: [change], touched: [touchedOf(switched)] };
}
