import type { EntityManager } from 'typeorm';
import type { PepperReport } from '#contracts';
import type { Peppers } from '#key-core';

interface Row {
  version: number;
  keys: number;
  secrets: number;
  imports: number;
}

/** How much is left of each pepper, the newest first: of those that are at hand, and of those that something needs. */
export async function readPepperUse(
  manager: EntityManager,
  peppers: Peppers,
  now: Date,
): Promise<PepperReport> {
  const rows = await manager.query<Row[]>(COUNT, [now, peppers.current.version]);
  return {
    current: peppers.current.version,
    data: rows.map((row) => ({ ...row, isAtHand: peppers.get(row.version) !== undefined })),
  };
}

/**
 * Revoked keys, and secrets that have ended, open by no pepper any more; one that has expired does when it is given a later end. An
 * import is sealed with the one that it began with.
 */
const COUNT = `
  SELECT version, sum(keys)::int AS keys, sum(secrets)::int AS secrets, sum(imports)::int AS imports FROM (
    SELECT $2::int AS version, 0 AS keys, 0 AS secrets, 0 AS imports
    UNION ALL
    SELECT s.pepper_version, count(DISTINCT s.key_id), count(*), 0
    FROM keys.secret s JOIN keys.key k ON k.id = s.key_id
    WHERE s.pepper_version > 0 AND NOT s.ended AND (s.valid_until IS NULL OR s.valid_until > $1)
      AND k.state <> 'revoked'
    GROUP BY 1
    UNION ALL
    SELECT pepper_version, 0, 0, count(*) FROM keys.import GROUP BY 1
  ) AS uses GROUP BY version ORDER BY version DESC`;
