import { ConflictException } from '@nestjs/common';
import type { Delivered, DeliveredKey, DeliveredRotation, DeliverTo } from '#contracts';
import type { Mutation } from '../changes/mutations.js';
import { lockKey, servicesOf } from './find-key.js';
import { keyChange, touchedOf, updateKey } from './key-change.js';
import { SecretEntity } from './secret.entity.js';
import { hasEnded, lastSecrets } from './secrets.js';
import { showKey } from './show-key.js';
import type { Work } from './work.js';

/** A secret that has arrived. */
export interface Arrival {
  id: string;
  deliverTo: DeliverTo;
  version: string | null;
}

/** Puts on record that the secret of a key that was just made has arrived. */
export async function confirmIssue(work: Work, arrival: Arrival): Promise<Mutation<DeliveredKey>> {
  const { key, grants } = await lockKey(work, arrival.id);
  const change = keyChange(work, 'key.delivered', {
    key: touchedOf(key),
    services: servicesOf(grants),
    before: null,
    after: { secret: 1, ...onRecord(arrival) },
  });
  const shown = await showKey(work.manager, key.id, work.material.now());
  return {
    result: { key: shown, delivered: deliveredBy(arrival) },
    changes: [change],
    touched: [touchedOf(key)],
  };
}

/**
 * Puts on record that the new secret of a key has arrived, and lets the overlap begin: the old one ends after it.
 *
 * @throws ConflictException where that secret is not the current one any more: it arrived, and is no good
 */
export async function confirmRotation(
  work: Work,
  { number, overlapSeconds, ...arrival }: Arrival & { number: number; overlapSeconds: number },
): Promise<Mutation<DeliveredRotation>> {
  const { manager, material } = work;
  const { key, grants } = await lockKey(work, arrival.id);
  const nowMs = material.now();
  const [current, previous] = await lastSecrets(work, key.id);
  if (!previous || current?.number !== number) throw overtaken();
  const staged = previous.validUntil!;
  const endMs = Math.min(nowMs + overlapSeconds * 1_000, key.expiresAt?.getTime() ?? Infinity);
  const isOver = hasEnded(previous, nowMs);
  const validUntil = isOver ? staged : new Date(endMs);
  const place = { keyId: key.id, number: previous.number };
  await manager.update(SecretEntity, place, { validUntil, ended: isOver || endMs <= nowMs });
  const confirmed = await updateKey(work, key, {});
  const change = keyChange(work, 'key.delivered', {
    key: touchedOf(confirmed),
    services: servicesOf(grants),
    before: { previousValidUntil: staged },
    after: { secret: number, previousValidUntil: validUntil, ...onRecord(arrival) },
  });
  return {
    result: {
      key: await showKey(manager, confirmed.id, nowMs),
      delivered: deliveredBy(arrival),
      previous: { validUntil: validUntil.toISOString() },
    },
    changes: [change],
    touched: [touchedOf(confirmed)],
  };
}

function deliveredBy({ deliverTo: { provider, path }, version }: Arrival): Delivered {
  return { provider, path, version };
}

function onRecord({ deliverTo, version }: Arrival) {
  return { deliverTo, version };
}

function overtaken(): ConflictException {
  const detail =
    'The key was given another secret meanwhile; rotate it again, so that its place holds a good one';
  return new ConflictException(detail, { errorCode: 'CONFLICT' });
}
