import type { DeliverTo } from '#contracts';
import type { Mutation } from '../changes/mutations.js';
import { lockKey, servicesOf } from './find-key.js';
import { keyChange, touchedOf, updateKey } from './key-change.js';
import { SecretEntity } from './secret.entity.js';
import { hasEnded, lastSecrets } from './secrets.js';
import type { Work } from './work.js';

/** What has become of a secret that could not be delivered. */
export interface Undone {
  /** Whether it is the key's current one still, though nobody has it. */
  isLost: boolean;
}

/**
 * Takes back the new secret of a key that could not be delivered: the old one goes on as if there had been no rotation. Where
 * the old one was ended meanwhile, or another rotation was faster, the secrets stay as they are.
 */
export async function takeBack(
  work: Work,
  { id, number, deliverTo }: { id: string; number: number; deliverTo: DeliverTo },
): Promise<Mutation<Undone>> {
  const { manager, material } = work;
  const { key, grants } = await lockKey(work, id);
  const nowMs = material.now();
  const [current, previous] = await lastSecrets(work, id);
  const isCurrent = current?.number === number;
  const isPossible = isCurrent && previous && !hasEnded(previous, nowMs);
  if (isPossible) {
    await manager.delete(SecretEntity, { keyId: id, number });
    const old = { keyId: id, number: previous.number };
    await manager.update(SecretEntity, old, { validUntil: null, ended: false });
  }
  const restored = await updateKey(work, key, {});
  const change = keyChange(work, 'key.delivery_failed', {
    key: touchedOf(restored),
    services: servicesOf(grants),
    before: { secret: number },
    after: { secret: isPossible ? previous.number : (current?.number ?? null), deliverTo },
  });
  const result = { isLost: isCurrent && !isPossible };
  return { result, changes: [change], touched: [touchedOf(restored)] };
}
