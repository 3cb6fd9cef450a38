import { randomId } from '#key-core';
import { canonicalJson } from '#server';
import type { ServiceEntity } from '../catalog/service.entity.js';
import type { Work } from '../keys/work.js';
import {
  conflictFaultOf,
  readSurroundings,
  takeUp,
  type Surroundings,
} from './import-conflicts.js';
import type { BadItem, ItemFault, KnownItem, ReadItem } from './import-item.js';
import { settingsFault } from './import-policy.js';
import { lookupOf, requestDigestOf } from './import-secrets.js';
import type { NewKey } from './import-rows.js';
import { rotateImported, type RotatedItem } from './import-rotations.js';
import type { OpenImport } from './import-store.js';

/** What becomes of each item. */
export interface Settled {
  created: NewKey[];
  rotated: RotatedItem[];
  unchanged: KnownItem[];
  bad: BadItem[];
}

/** What items are looked at with. */
export interface Settling {
  items: readonly (ReadItem | BadItem)[];
  open: OpenImport;
  service: ServiceEntity;
}

interface Known {
  keyId: string;
  request: Buffer;
  isWeak: boolean;
}

/**
 * Says of each item whether it becomes a key, is one, or why it cannot be one; in their order, so that of two the first wins. A new
 * secret of a key that is there is written at once.
 */
export async function settleItems(
  work: Work,
  { items, open, service }: Settling,
): Promise<Settled> {
  const settled: Settled = { created: [], rotated: [], unchanged: [], bad: [] };
  const keys = items.filter((one) => 'given' in one).map((one) => newKeyOf(work, one, open));
  const known = await readKnown(work, open, keys);
  const surroundings = await readSurroundings(
    work,
    keys.filter((one) => !one.given.supersedes),
  );
  const byIndex = new Map(keys.map((key) => [key.index, key]));
  for (const item of items) {
    const key = byIndex.get(item.index);
    if (key === undefined) settled.bad.push(item as BadItem);
    else if (key.given.supersedes) addRotation(settled, await rotateImported(work, key, open));
    else settle(settled, key, { known, surroundings, service, nowMs: work.material.now() });
  }
  return settled;
}

interface Standing {
  known: Map<string, Known>;
  surroundings: Surroundings;
  service: ServiceEntity;
  nowMs: number;
}

function settle(settled: Settled, key: NewKey, standing: Standing): void {
  const { index, given, request } = key;
  const { item } = given;
  const before = standing.known.get(item);
  if (before?.request.equals(request)) {
    const { keyId, isWeak } = before;
    settled.unchanged.push({ index, item, keyId, isWeak });
    return;
  }
  const fault = before === undefined ? faultOf(key, standing) : changed();
  if (fault !== null) {
    settled.bad.push({ index, item, fault });
    return;
  }
  takeUp(standing.surroundings, key);
  standing.known.set(item, key);
  settled.created.push(key);
}

function addRotation(settled: Settled, one: RotatedItem | KnownItem | BadItem): void {
  if ('fault' in one) settled.bad.push(one);
  else if ('change' in one) settled.rotated.push(one);
  else settled.unchanged.push(one);
}

function faultOf(key: NewKey, { surroundings, service, nowMs }: Standing): ItemFault | null {
  return conflictFaultOf(surroundings, key) ?? settingsFault(key.given, service, nowMs);
}

function changed(): ItemFault {
  const detail = 'This item was imported before and is not the same; change its key instead';
  return { code: 'CONFLICT', pointer: '/item', detail };
}

function newKeyOf({ material }: Work, read: ReadItem, { row, secrets }: OpenImport): NewKey {
  const { given, trace } = read;
  return {
    ...read,
    keyId: given.id ?? `key_${randomId(material.random)}`,
    lookup: lookupOf(secrets, row.service, trace),
    isSalted: 'locator' in trace,
    request: requestDigestOf(secrets, canonicalJson(given)),
  };
}

async function readKnown(
  { manager }: Work,
  { row }: OpenImport,
  keys: readonly NewKey[],
): Promise<Map<string, Known>> {
  const names = keys.map((one) => one.given.item);
  const rows = await manager.query<
    { item: string; key_id: string; request: Buffer; weak: boolean }[]
  >(
    `SELECT item, key_id, request, weak FROM keys.imported_key WHERE import_id = $1 AND item = ANY ($2)`,
    [row.id, names],
  );
  return new Map(
    rows.map((one) => [one.item, { keyId: one.key_id, request: one.request, isWeak: one.weak }]),
  );
}
