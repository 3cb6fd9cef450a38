import { ConflictException } from '@nestjs/common';
import { Not } from 'typeorm';
import type { RotatedKey, RotateKeyBody } from '#contracts';
import { keyFaults, makeKeyText, resolveOverlap } from '#key-core';
import { ConsumerEntity } from '../catalog/consumer.entity.js';
import type { Mutation } from '../changes/mutations.js';
import { checkKeyVersion, lockKey, servicesOf, type LockedKey } from './find-key.js';
import { keyChange, touchedOf, updateKey } from './key-change.js';
import { lockRuling, msOf, refusal, refuseFaults } from './key-policy.js';
import type { KeyEntity } from './key.entity.js';
import { SecretEntity } from './secret.entity.js';
import { addSecret, hasEnded, lastSecrets } from './secrets.js';
import { isAbandoned } from './abandoned-delivery.js';
import { showKey, statusOf } from './show-key.js';
import type { Work } from './work.js';

/** Which key is to be rotated, and how. */
export interface RotateOrder {
  id: string;
  body: RotateKeyBody;
  /** The `If-Match` header, if one was sent. */
  ifMatch: string | undefined;
}

/** How long the old secret goes on at least while the new one is on its way to where it is delivered, in seconds. */
export const DELIVERY_OVERLAP_SECONDS = 300;

/** A key was given a new secret. */
export interface Rotation extends Mutation<Omit<RotatedKey, 'propagation'>> {
  /** Number of the new secret. */
  number: number;
  /** How long the old one is to go on, which is counted from its delivery where the new one is delivered. */
  overlapSeconds: number;
}

/**
 * Gives a key a new secret under the same id. The old one goes on for the overlap, but never beyond the key's own end. Of
 * several at the same time one wins; no other change, such as the upgrade of a hash behind its use, hinders it. A secret that
 * was to be delivered and, as it seems, never was is taken back for it.
 *
 * @returns the key and its new text, which is nowhere else from here on
 * @throws ProblemException POLICY_VIOLATION where the overlap is too long, or, with an overlap, the key breaks a policy
 * @throws ConflictException where the key is not active, an earlier secret is still alive, or another rotation was faster
 */
export async function rotateKey(work: Work, { id, body, ifMatch }: RotateOrder): Promise<Rotation> {
  const { manager, material } = work;
  const [asFound] = await lastSecrets(work, id);
  const { key, grants } = await lockKey(work, id);
  const secrets = await lastSecrets(work, id);
  if (!isSame(secrets[0], asFound)) throw conflict(BEATEN);
  await checkKeyVersion(work, key, ifMatch);
  const nowMs = material.now();
  await refuseInactive(work, key, nowMs);
  const { current, last } = await refuseOverlapping(work, secrets, nowMs);
  const { validUntil, overlapSeconds } = await endOf(work, { key, grants }, { ...body, nowMs });
  const { environment } = key;
  const prefix = await prefixOf(work, { key, grants }, current);
  const text = makeKeyText({ prefix, environment, keyId: key.id }, material.random);
  await retire(work, current, { validUntil, ended: validUntil.getTime() <= nowMs });
  const number = last + 1;
  await addSecret(work, text, { number, atMs: nowMs });
  const rotated = await updateKey(work, key, {});
  const { reason = null, deliverTo } = body;
  const change = keyChange(work, 'key.rotated', {
    key: touchedOf(rotated),
    services: servicesOf(grants),
    before: { secret: current.number },
    after: {
      ...{ secret: number, previousValidUntil: validUntil, reason },
      ...(deliverTo && { deliverTo }),
    },
  });
  return {
    result: {
      key: await showKey(manager, rotated.id, nowMs),
      secret: text.text,
      previous: { validUntil: validUntil.toISOString() },
    },
    changes: [change],
    touched: [touchedOf(rotated)],
    ...{ number, overlapSeconds },
  };
}

const BEATEN =
  'The key was changed at the same time; read it, and rotate it again unless somebody else has';
const NEXT = {
  disabled: 'enable it, or its consumer, first',
  expired: 'set a later expiresAt first',
  revoked: 'issue another one',
};

/** The same as before while one of the key's services still uses it; else, and where the key was imported, its service's. */
async function prefixOf(
  work: Work,
  { key, grants }: LockedKey,
  current: SecretEntity,
): Promise<string> {
  const prefixes = (await lockRuling(work, grants)).map((one) => one.policy.keyPrefix);
  const isOurs = key.origin === 'issued' || current.number > 1;
  return isOurs && prefixes.includes(current.prefix) ? current.prefix : prefixes[0]!;
}

/** Leaves the key without any secret but the current one, which is to end. */
async function retire(
  { manager }: Work,
  { keyId, number }: SecretEntity,
  end: { validUntil: Date; ended: boolean },
): Promise<void> {
  await manager.update(SecretEntity, { keyId, number }, end);
  await manager.delete(SecretEntity, { keyId, number: Not(number) });
}

/** A number is given again after its secret was taken back. */
function isSame(one: SecretEntity | undefined, other: SecretEntity | undefined): boolean {
  return one?.number === other?.number && one?.createdAt.getTime() === other?.createdAt.getTime();
}

async function refuseInactive({ manager }: Work, key: KeyEntity, nowMs: number): Promise<void> {
  const consumer = await manager.findOneByOrFail(ConsumerEntity, { slug: key.consumer });
  const status = statusOf(key, consumer.enabled, nowMs);
  if (status !== 'active') throw conflict(`The key is ${status}; ${NEXT[status]}`);
}

/** @returns the current secret, and the highest number that was given to one */
async function refuseOverlapping(
  work: Work,
  [current, previous]: SecretEntity[],
  nowMs: number,
): Promise<{ current: SecretEntity; last: number }> {
  const { number: last, keyId } = current!;
  if (!previous || hasEnded(previous, nowMs)) return { current: current!, last };
  if (await isAbandoned(work, keyId, nowMs)) return { current: previous, last };
  const end = previous.validUntil!.toISOString();
  const detail = `The secret before the present one goes on until ${end}; rotate after it, or finish that rotation`;
  throw conflict(detail);
}

/** A rotation that ends the old secret at once is the answer to a leak: a policy that the key breaks does not hinder it. */
async function endOf(
  work: Work,
  { key, grants }: LockedKey,
  { overlapSeconds, deliverTo, nowMs }: RotateKeyBody & { nowMs: number },
): Promise<{ validUntil: Date; overlapSeconds: number }> {
  const services = await lockRuling(work, grants);
  const overlap = resolveOverlap(
    overlapSeconds,
    services.map((one) => one.policy),
  );
  if (Array.isArray(overlap)) throw refusal(overlap);
  const { rateLimits, ipAllowlist } = key;
  const settings = { grants, rateLimits, ipAllowlist, expiresAtMs: msOf(key.expiresAt) };
  if (overlap.seconds > 0) refuseFaults(keyFaults(settings, services, nowMs));
  const seconds = Math.max(overlap.seconds, deliverTo ? DELIVERY_OVERLAP_SECONDS : 0);
  const endMs = Math.min(nowMs + seconds * 1_000, key.expiresAt?.getTime() ?? Infinity);
  return { validUntil: new Date(endMs), overlapSeconds: overlap.seconds };
}

function conflict(detail: string): ConflictException {
  return new ConflictException(detail, { errorCode: 'CONFLICT' });
}
