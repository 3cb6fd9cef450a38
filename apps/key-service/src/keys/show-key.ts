import { In, type EntityManager } from 'typeorm';
import type { Key, KeyStatus } from '#contracts';
import type { QuotaRecord } from '#key-core';
import { ConsumerEntity } from '../catalog/consumer.entity.js';
import { remainingOf } from '../quota/remaining.js';
import type { RedisLink } from '../redis-link.js';
import { KeyEntity } from './key.entity.js';
import { hasEnded } from './secrets.js';

/**
 * Keys as they are answered, in the order of their rows; nothing in them opens anything.
 *
 * @param link where the leases of quotas are counted in; a transaction leaves it out
 */
export async function showKeys(
  manager: EntityManager,
  rows: readonly KeyEntity[],
  nowMs: number,
  link: RedisLink | null = null,
): Promise<Key[]> {
  if (rows.length === 0) return [];
  const slug = In([...new Set(rows.map((row) => row.consumer))]);
  const disabled = await manager.find(ConsumerEntity, { where: { slug, enabled: false } });
  const remaining = await remainingOf(manager, rows, link);
  return rows.map((row) =>
    toKey(row, {
      isConsumerEnabled: disabled.every((one) => one.slug !== row.consumer),
      remaining: remaining.get(row.id) ?? 0,
      nowMs,
    }),
  );
}

/** One key as it is answered, after what was changed of it in this transaction. */
export async function showKey(manager: EntityManager, id: string, nowMs: number): Promise<Key> {
  const [key] = await showKeys(manager, [await manager.findOneByOrFail(KeyEntity, { id })], nowMs);
  return key!;
}

/** Revoked comes before expired, expired before disabled. A key of a disabled consumer is disabled. */
export function statusOf(
  { state, expiresAt }: Pick<KeyEntity, 'state' | 'expiresAt'>,
  isConsumerEnabled: boolean,
  nowMs: number,
): KeyStatus {
  if (state === 'revoked') return 'revoked';
  if (expiresAt !== null && expiresAt.getTime() <= nowMs) return 'expired';
  return isConsumerEnabled ? state : 'disabled';
}

interface Surroundings {
  isConsumerEnabled: boolean;
  /** Of the quota. */
  remaining: number;
  nowMs: number;
}

function toKey(row: KeyEntity, { isConsumerEnabled, remaining, nowMs }: Surroundings): Key {
  return {
    id: row.id,
    name: row.name,
    consumer: row.consumer,
    environment: row.environment,
    grants: row.grants.map(({ service, scopes }) => ({ service, scopes })),
    status: statusOf(row, isConsumerEnabled, nowMs),
    notBefore: instantOf(row.notBefore),
    expiresAt: instantOf(row.expiresAt),
    rateLimits: row.rateLimits,
    quota: row.quota && quotaOf(row.quota, remaining),
    ipAllowlist: row.ipAllowlist,
    tags: row.tags,
    metadata: row.metadata as Key['metadata'],
    hint: { prefix: row.hintPrefix, last4: row.hintLast4 },
    rotation: rotationOf(row, nowMs),
    origin: row.origin,
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdBy,
    updatedAt: row.updatedAt.toISOString(),
    lastUsedAt: instantOf(row.lastUsedAt),
    revokedAt: instantOf(row.revokedAt),
    revocationReason: row.revocationReason,
    version: row.version,
  };
}

function quotaOf({ limit, refill }: QuotaRecord, remaining: number): Key['quota'] {
  return { limit, remaining, refill: refill ?? null };
}

function rotationOf(
  { previousUntil: validUntil, previousEnded }: KeyEntity,
  nowMs: number,
): Key['rotation'] {
  if (validUntil === null) return null;
  const isOver = hasEnded({ validUntil, ended: previousEnded === true }, nowMs);
  const previousValidUntil = validUntil.toISOString();
  return { state: isOver ? 'finished' : 'overlapping', previousValidUntil };
}

function instantOf(date: Date | null): string | null {
  return date === null ? null : date.toISOString();
}
