import type { Quota } from '#contracts';
import type { QuotaRecord } from '#key-core';
import { changeBy } from '../access/change-by.js';
import type { NewChange } from '../changes/change-log.js';
import type { TouchedKey } from '../changes/marker.js';
import { KeyEntity, type KeyRow } from './key.entity.js';
import type { Work } from './work.js';

/** The row of the change log for a key. */
export function keyChange(
  { by }: Work,
  action: string,
  change: { key: TouchedKey; services: string[]; before: object | null; after: object },
): NewChange {
  return changeBy(by, {
    action,
    targetType: 'key',
    targetId: change.key.keyId,
    keyVersion: change.key.version,
    services: change.services,
    before: change.before as NewChange['before'],
    after: change.after as NewChange['after'],
  });
}

/** Writes changed columns of a locked key and raises its version. @returns the row as it is now */
export async function updateKey(
  { manager, material }: Work,
  key: KeyRow,
  columns: Partial<KeyRow>,
): Promise<KeyRow> {
  const updatedAt = new Date(material.now());
  const written = { ...columns, version: key.version + 1, updatedAt };
  await manager.update(KeyEntity, { id: key.id }, written as object);
  return { ...key, ...written };
}

/** A key as a mutation names it. */
export function touchedOf({ id, version }: KeyRow): TouchedKey {
  return { keyId: id, version };
}

/** What people set of a key, as the change log keeps it. */
export function settingsOf(key: KeyRow) {
  const { name, notBefore, expiresAt, rateLimits, ipAllowlist, tags, metadata } = key;
  const quota = key.quota && { limit: key.quota.limit, refill: key.quota.refill ?? null };
  return { name, notBefore, expiresAt, rateLimits, quota, ipAllowlist, tags, metadata };
}

/** A quota as it is kept; `setting` is the version that the key has with it. */
export function quotaSetBy(quota: Quota | null | undefined, setting: number): QuotaRecord | null {
  return quota ? { ...quota, setting } : null;
}
