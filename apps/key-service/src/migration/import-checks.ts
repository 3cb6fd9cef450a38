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
import type { BadItem, ItemFault, ReadItem } from './import-item.js';
import { settingsFault } from './import-policy.js';
import { lookupOf, requestDigestOf } from './import-secrets.js';
import type { NewKey } from './import-rows.js';
import type { OpenImport } from './import-store.js';

/** An item that is a key already. */
export interface KnownItem {
  index: number;
  item: string;
  keyId: string;
  isWeak: boolean;
}

/** What becomes of each item. */
export interface Settled {
  created: NewKey[];
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

/** Says of each item whether it becomes a key, is one, or why it cannot be one; in their order, so that of two the first wins. */
export async function settleItems(
  work: Work,
  { items, open, service }: Settling,
): Promise<Settled> {
  const settled: Settled = { created: [], unchanged: [], bad: [] };
  const keys = items.filter((one) => 'given' in one).map((one) => newKeyOf(work, one, open));
  const known = await readKnown(work, open, keys);
  const surroundings = await readSurroundings(work, keys);
  const byIndex = new Map(keys.map((key) => [key.index, key]));
  for (const item of items) {
    const key = byIndex.get(item.index);
    if (key === undefined) settled.bad.push(item as BadItem);
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
