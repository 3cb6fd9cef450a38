import type { EntityManager } from 'typeorm';
import { changeBy } from '../access/change-by.js';
import type { Principal } from '../access/principal.js';
import type { NewChange } from '../changes/change-log.js';
import type { TouchedKey } from '../changes/marker.js';

/**
 * Raises the version of every key of a consumer that is not revoked. The consumer's row must be locked.
 *
 * @returns the keys, and a row for the change log for each
 */
export async function touchKeysOf(
  manager: EntityManager,
  consumer: string,
  { at, by, action }: { at: Date; by: Principal; action: string },
): Promise<{ keys: TouchedKey[]; changes: NewChange[] }> {
  const rows: TouchedRow[] = [];
  for (let place = '0', isDone = false; !isDone;) {
    const some = await manager.query<TouchedRow[]>(TOUCH, [consumer, at, place]);
    rows.push(...some);
    isDone = some.length < PART;
    place = some.at(-1)?.seq ?? place;
  }
  return {
    keys: rows.map(({ id, version }) => ({ keyId: id, version })),
    changes: rows.map(({ id, version, services }) =>
      changeBy(by, {
        action,
        targetType: 'key',
        targetId: id,
        keyVersion: version,
        services,
        before: null,
        after: { consumer },
      }),
    ),
  };
}

interface TouchedRow {
  id: string;
  seq: string;
  version: number;
  services: string[];
}

/** Keys of one statement: few enough for the time that a statement may take, on a busy machine too. */
const PART = 5_000;

const TOUCH = `
  WITH locked AS MATERIALIZED (
    SELECT id FROM keys.key WHERE consumer = $1 AND state <> 'revoked' AND seq > $3
    ORDER BY seq LIMIT ${PART} FOR UPDATE
  ), touched AS (
    UPDATE keys.key k SET version = version + 1, updated_at = $2
    FROM locked WHERE k.id = locked.id RETURNING k.id, k.version, k.seq
  )
  SELECT id, version, seq, ARRAY(SELECT service FROM keys.key_grant WHERE key_id = id ORDER BY service) AS services
  FROM touched ORDER BY touched.seq`;
