import { digestKey } from '#key-core';
import type { Mutations } from '../changes/mutations.js';
import type { KeyMaterial } from '../key-material.js';
import { sealPortable } from './portable.js';

/** A secret whose text was just seen. */
export interface SeenSecret {
  keyId: string;
  secretNumber: number;
  /** What its digest was made with; 0 for an imported one that has none of ours. */
  pepperVersion: number;
  text: string;
}

/** Named in the change log for what nobody asked for. */
const ITSELF = 'key-service';

/**
 * Gives a secret a digest of the current pepper in place of that of an earlier one, or of the hash that it was imported with, if it
 * still has that: of several at the same time one does.
 *
 * @returns whether this call did it
 */
export async function upgradeSecret(
  { mutations, material }: { mutations: Mutations; material: KeyMaterial },
  { keyId, secretNumber: number, pepperVersion: before, text }: SeenSecret,
): Promise<boolean> {
  const { version: pepperVersion, bytes } = material.peppers.current;
  const digest = digestKey(bytes, text);
  const place = { keyId, number };
  const portable = sealPortable(bytes, text, { place, random: material.random });
  const { result } = await mutations.run(async (manager) => {
    const [rows] = await manager.query<[Upgraded[]]>(UPGRADE, [
      keyId,
      number,
      digest,
      pepperVersion,
      portable,
      new Date(material.now()),
      before,
    ]);
    const upgraded = rows[0];
    if (upgraded === undefined) return { result: false, changes: [], touched: [] };
    const { version: keyVersion, services } = upgraded;
    const change = {
      ...{ actor: ITSELF, via: null, action: 'key.hash_upgraded', requestId: null, ip: null },
      ...{ targetType: 'key' as const, targetId: keyId, keyVersion, services },
      before: before === 0 ? null : { secret: number, pepper: before },
      after: before === 0 ? { secret: number } : { secret: number, pepper: pepperVersion },
    };
    return { result: true, changes: [change], touched: [{ keyId, version: keyVersion }] };
  });
  return result;
}

interface Upgraded {
  version: number;
  services: string[];
}

/** The key's row is locked first, as everything that changes a key does. */
const UPGRADE = `
  WITH locked AS MATERIALIZED (SELECT id FROM keys.key WHERE id = $1 FOR UPDATE),
  made AS (
    UPDATE keys.secret s SET digest = $3, pepper_version = $4, portable = $5
    FROM locked WHERE s.key_id = locked.id AND s.number = $2 AND s.pepper_version = $7 RETURNING s.key_id
  ),
  dropped AS (UPDATE keys.legacy_secret l SET sealed = NULL FROM made WHERE l.key_id = made.key_id AND l.number = $2),
  noted AS (UPDATE keys.imported_key i SET upgraded_at = coalesce(i.upgraded_at, $6) FROM made WHERE i.key_id = made.key_id)
  UPDATE keys.key k SET version = k.version + 1 FROM made WHERE k.id = made.key_id
  RETURNING k.version, ARRAY(SELECT service FROM keys.key_grant WHERE key_id = k.id ORDER BY service) AS services`;
