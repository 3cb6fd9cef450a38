import type { Pool } from 'pg';

/** Own keys that the key service does not have as they are. */
export interface Untold {
  /** Handed over, and rotated, revoked or disabled here since. */
  changed: number;
  /** Never handed over. */
  missing: number;
}

/** Counts them among the keys that matter still. @throws where PostgreSQL does not answer, or the schema is not there */
export async function countUntold(pool: Pool): Promise<Untold> {
  const { rows } = await pool.query<Untold>(COUNT);
  return rows[0]!;
}

/** The same as a sentence for operators; null where the key service has all. */
export function untoldText({ changed, missing }: Untold): string | null {
  if (changed + missing === 0) return null;
  const parts = [
    ...(changed > 0 ? [`${changed} changed here since the key service was told of them`] : []),
    ...(missing > 0 ? [`${missing} never handed over to it`] : []),
  ];
  return `Own keys differ from what the key service has: ${parts.join(', ')}; hand over (docs/migration.md)`;
}

/** One that has ended by its time opens on neither side. */
const COUNT = `
  SELECT count(*) FILTER (WHERE h.key_id IS NOT NULL AND k.version <> h.version)::int AS changed,
    count(*) FILTER (WHERE h.key_id IS NULL AND k.state <> 'revoked')::int AS missing
  FROM service_a.key k LEFT JOIN service_a.handed_over h ON h.key_id = k.id
  WHERE k.expires_at IS NULL OR k.expires_at > now()`;
