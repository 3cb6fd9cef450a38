import { lackOfConsumer, MAX_KEYS_PER_CONSUMER } from '../keys/issue-key.js';
import type { Work } from '../keys/work.js';
import { MAX_CANDIDATES } from './candidates.js';
import { invalid, type ItemFault } from './import-item.js';
import type { NewKey } from './import-rows.js';

/** What is there already that a new key may collide with; those that are taken up are counted in. */
export interface Surroundings {
  /** Consumers that are named, with the keys that they hold. */
  consumers: Map<string, { enabled: boolean; held: number }>;
  /** How many keys each lookup finds, by its hex. */
  byLookup: Map<string, number>;
  keyIds: Set<string>;
}

/** Reads what items name; the consumers are locked so that none is disabled meanwhile. */
export async function readSurroundings(
  { manager }: Work,
  keys: readonly NewKey[],
): Promise<Surroundings> {
  const consumers = await manager.query<{ slug: string; enabled: boolean; held: number }[]>(
    `SELECT c.slug, c.enabled, (SELECT count(*)::int FROM keys.key k WHERE k.consumer = c.slug AND k.state <> 'revoked') AS held
     FROM keys.consumer c WHERE c.slug = ANY ($1) ORDER BY c.slug FOR SHARE OF c`,
    [[...new Set(keys.map((one) => one.given.consumer))]],
  );
  const lookups = await manager.query<{ lookup: Buffer; count: number }[]>(
    `SELECT lookup, count(*)::int AS count FROM keys.legacy_secret WHERE lookup = ANY ($1) GROUP BY lookup`,
    [keys.map((one) => one.lookup)],
  );
  const ids = await manager.query<{ id: string }[]>(`SELECT id FROM keys.key WHERE id = ANY ($1)`, [
    keys.map((one) => one.keyId),
  ]);
  return {
    consumers: new Map(consumers.map(({ slug, ...rest }) => [slug, rest])),
    byLookup: new Map(lookups.map((one) => [one.lookup.toString('hex'), one.count])),
    keyIds: new Set(ids.map((one) => one.id)),
  };
}

/** Why a key cannot be beside what is there, or null. */
export function conflictFaultOf(
  { consumers, byLookup, keyIds }: Surroundings,
  { given, keyId, lookup, isSalted }: NewKey,
): ItemFault | null {
  const consumer = consumers.get(given.consumer);
  if (consumer === undefined) return invalid('/consumer', lackOfConsumer(given.consumer));
  if (!consumer.enabled)
    return conflict('/consumer', `${given.consumer} is disabled; enable it first`);
  if (consumer.held >= MAX_KEYS_PER_CONSUMER)
    return conflict(
      '/consumer',
      `${given.consumer} holds ${consumer.held} keys, the most there may be`,
    );
  if (keyIds.has(keyId)) return conflict('/id', 'There is a key with this id', 'ALREADY_EXISTS');
  const others = byLookup.get(lookup.toString('hex')) ?? 0;
  if (!isSalted && others > 0)
    return conflict('/hash', 'Another key of this service has this hash', 'ALREADY_EXISTS');
  if (others >= MAX_CANDIDATES)
    return conflict('/locator', `${MAX_CANDIDATES} keys have this locator, the most there may be`);
  return null;
}

/** Counts a key in, for those that come after it in the same call. */
export function takeUp({ consumers, byLookup, keyIds }: Surroundings, key: NewKey): void {
  const name = key.lookup.toString('hex');
  byLookup.set(name, (byLookup.get(name) ?? 0) + 1);
  keyIds.add(key.keyId);
  consumers.get(key.given.consumer)!.held += 1;
}

function conflict(
  pointer: string,
  detail: string,
  code: 'CONFLICT' | 'ALREADY_EXISTS' = 'CONFLICT',
): ItemFault {
  return { code, pointer, detail };
}
