import { ConflictException } from '@nestjs/common';
import { LessThan } from 'typeorm';
import type { RotatedKey, RotateKeyBody } from '#contracts';
import { keyFaults, makeKeyText, resolveOverlap } from '#key-core';
import { ConsumerEntity } from '../catalog/consumer.entity.js';
import { checkVersion } from '../catalog/version-check.js';
import type { Mutation } from '../changes/mutations.js';
import { findKey, lockKey, servicesOf, type LockedKey } from './find-key.js';
import { keyChange, touchedOf, updateKey } from './key-change.js';
import { lockRuling, msOf, refusal, refuseFaults } from './key-policy.js';
import type { KeyEntity } from './key.entity.js';
import { SecretEntity } from './secret.entity.js';
import { addSecret, hasEnded } from './secrets.js';
import { showKey, statusOf } from './show-key.js';
import type { Work } from './work.js';

/** Which key is to be rotated, and how. */
export interface RotateOrder {
  id: string;
  body: RotateKeyBody;
  /** The `If-Match` header, if one was sent. */
  ifMatch: string | undefined;
}

/**
 * Gives a key a new secret under the same id. The old one goes on for the overlap, but never beyond the key's own end. Of
 * several at the same time one wins.
 *
 * @returns the key and its new text, which is nowhere else from here on
 * @throws ProblemException POLICY_VIOLATION where the overlap is too long, or, with an overlap, the key breaks a policy
 * @throws ConflictException where the key is not active, an earlier secret is still alive, or another rotation was faster
 */
export async function rotateKey(
  work: Work,
  { id, body, ifMatch }: RotateOrder,
): Promise<Mutation<Omit<RotatedKey, 'propagation'>>> {
  const { manager, by, material } = work;
  const asFound = await findKey(manager, id, by);
  const { key, grants } = await lockKey(work, id);
  if (key.version !== asFound.version) throw conflict('The key was changed at the same time');
  checkVersion(ifMatch, key.version);
  const nowMs = material.now();
  await refuseInactive(work, key, nowMs);
  const current = await refuseOverlapping(work, key, nowMs);
  const validUntil = await endOf(work, { key, grants }, { ...body, nowMs });
  const { number } = current;
  const { environment } = key;
  const prefix = await prefixOf(work, { key, grants }, current);
  const text = makeKeyText({ prefix, environment, keyId: key.id }, material.random);
  const ended = validUntil.getTime() <= nowMs;
  await manager.update(SecretEntity, { keyId: key.id, number }, { validUntil, ended });
  await manager.delete(SecretEntity, { keyId: key.id, number: LessThan(number) });
  await addSecret(work, text, { number: number + 1, atMs: nowMs });
  const rotated = await updateKey(work, key, {});
  const change = keyChange(work, 'key.rotated', {
    key: touchedOf(rotated),
    services: servicesOf(grants),
    before: { secret: number },
    after: { secret: number + 1, previousValidUntil: validUntil, reason: body.reason ?? null },
  });
  return {
    result: {
      key: await showKey(manager, rotated, nowMs),
      secret: text.text,
      previous: { validUntil: validUntil.toISOString() },
    },
    changes: [change],
    touched: [touchedOf(rotated)],
  };
}

/** An imported key has none of ours until now: it gets its service's. */
async function prefixOf(
  work: Work,
  { key, grants }: LockedKey,
  current: SecretEntity,
): Promise<string> {
  if (key.origin === 'issued' || current.number > 1) return current.prefix;
  const [service] = await lockRuling(work, grants);
  return service!.policy.keyPrefix;
}

async function refuseInactive({ manager }: Work, key: KeyEntity, nowMs: number): Promise<void> {
  const consumer = await manager.findOneByOrFail(ConsumerEntity, { slug: key.consumer });
  const status = statusOf(key, consumer.enabled, nowMs);
  if (status !== 'active') throw conflict(`The key is ${status}; only an active one is rotated`);
}

/** @returns the current secret */
async function refuseOverlapping(
  { manager }: Work,
  { id }: KeyEntity,
  nowMs: number,
): Promise<SecretEntity> {
  const order = { number: 'DESC' } as const;
  const [current, previous] = await manager.find(SecretEntity, { where: { keyId: id }, order });
  if (!previous || hasEnded(previous, nowMs)) return current!;
  const end = previous.validUntil!.toISOString();
  const detail = `The secret before the present one goes on until ${end}; rotate after it, or finish that rotation`;
  throw conflict(detail);
}

/** A rotation that ends the old secret at once is the answer to a leak: a policy that the key breaks does not hinder it. */
async function endOf(
  work: Work,
  { key, grants }: LockedKey,
  { overlapSeconds, nowMs }: { overlapSeconds?: number | undefined; nowMs: number },
): Promise<Date> {
  const services = await lockRuling(work, grants);
  const overlap = resolveOverlap(
    overlapSeconds,
    services.map((one) => one.policy),
  );
  if (Array.isArray(overlap)) throw refusal(overlap);
  const { rateLimits, ipAllowlist } = key;
  const settings = { grants, rateLimits, ipAllowlist, expiresAtMs: msOf(key.expiresAt) };
  if (overlap.seconds > 0) refuseFaults(keyFaults(settings, services, nowMs));
  const endMs = nowMs + overlap.seconds * 1_000;
  return new Date(Math.min(endMs, key.expiresAt?.getTime() ?? Infinity));
}

function conflict(detail: string): ConflictException {
  return new ConflictException(detail, { errorCode: 'CONFLICT' });
}
