import type { Pool } from 'pg';

/** When secrets of keys were last used: ids, numbers of the secrets, and times in milliseconds since 1970, as texts of arrays. */
export interface Uses {
  key_ids: string;
  secrets: string;
  times: string;
}

/** A use whose key or secret a change held. */
export interface HeldUse {
  key_id: string;
  secret: number;
  ms: number;
}

/** Rows that a change holds at this moment are left out, so that neither waits for the other; they are answered. */
const WRITE = {
  name: 'last-used',
  text: `WITH used AS (
      SELECT key_id, secret, ms, to_timestamp(ms / 1000) AS at FROM unnest($1::text[], $2::int[], $3::float8[]) AS u (key_id, secret, ms)
    ),
    latest AS (SELECT key_id, max(at) AS at FROM used GROUP BY key_id),
    free_keys AS (
      SELECT k.id, l.at FROM keys.key k JOIN latest l ON l.key_id = k.id
      WHERE k.last_used_at IS NULL OR k.last_used_at < l.at FOR NO KEY UPDATE OF k SKIP LOCKED
    ),
    free_secrets AS (
      SELECT s.key_id, s.number, u.at FROM keys.secret s JOIN used u ON u.key_id = s.key_id AND u.secret = s.number
      WHERE s.last_used_at IS NULL OR s.last_used_at < u.at FOR NO KEY UPDATE OF s SKIP LOCKED
    ),
    keys_done AS (
      UPDATE keys.key k SET last_used_at = f.at FROM free_keys f WHERE k.id = f.id RETURNING k.id
    ),
    secrets_done AS (
      UPDATE keys.secret s SET last_used_at = f.at FROM free_secrets f
      WHERE s.key_id = f.key_id AND s.number = f.number RETURNING s.key_id, s.number
    )
    SELECT u.key_id, u.secret, u.ms FROM used u JOIN keys.key k ON k.id = u.key_id
      LEFT JOIN keys.secret s ON s.key_id = u.key_id AND s.number = u.secret
    WHERE (coalesce(k.last_used_at < u.at, true) AND NOT EXISTS (SELECT FROM keys_done d WHERE d.id = k.id))
      OR (s.key_id IS NOT NULL AND coalesce(s.last_used_at < u.at, true)
        AND NOT EXISTS (SELECT FROM secrets_done d WHERE d.key_id = s.key_id AND d.number = s.number))`,
};

/**
 * Writes `last_used_at` of keys and their secrets, where it is earlier. It changes no version and waits for no change that is
 * under way.
 *
 * @returns those that have to be written again
 * @throws where PostgreSQL does not answer
 */
export async function writeLastUsed(pool: Pool, uses: Uses): Promise<HeldUse[]> {
  const values = [uses.key_ids, uses.secrets, uses.times];
  const { rows } = await pool.query<HeldUse>({ ...WRITE, values });
  return rows;
}
