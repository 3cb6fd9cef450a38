import type { Pool } from 'pg';
import type { ListKeysQuery } from '#contracts';
import { ROWS, type LocalRow } from './local-rows.js';

/** What a list is narrowed by; when a key was used is not known here. */
export type LocalFilters = Pick<
  ListKeysQuery,
  'consumer' | 'tag' | 'environment' | 'status' | 'expiresBefore' | 'q'
>;

/** Keys that fit all filters, after a place: the newest first, or the soonest to end where they are asked for by their end. */
export async function listRows(
  db: Pool,
  filters: LocalFilters,
  { after, limit, nowMs }: { after: number | null; limit: number; nowMs: number },
): Promise<LocalRow[]> {
  const byEnd = filters.expiresBefore !== undefined || filters.status === 'expired';
  const text = `${ROWS} WHERE ${FITS} ${byEnd ? BY_END : NEWEST} LIMIT $10`;
  const { consumer, tag, environment, status, expiresBefore, q } = filters;
  const values = [consumer, tag, environment, status, expiresBefore, q, partOf(q)];
  const { rows } = await db.query<LocalRow>(text, [
    ...values.map((one) => one ?? null),
    new Date(nowMs),
    ...[after, limit],
  ]);
  return rows;
}

/** Pattern of the names that a text is part of. */
function partOf(q: string | undefined): string | undefined {
  return q === undefined ? undefined : `%${q.replaceAll(/[\\%_]/g, '\\$&')}%`;
}

const FITS = `($1::text IS NULL OR k.consumer = $1) AND ($2::text IS NULL OR $2 = ANY (k.tags))
  AND ($3::text IS NULL OR k.environment = $3)
  AND ($4::text IS NULL OR $4 = CASE WHEN k.state = 'revoked' THEN 'revoked' WHEN k.expires_at <= $8 THEN 'expired' ELSE k.state END)
  AND ($5::timestamptz IS NULL OR k.expires_at < $5)
  AND ($6::text IS NULL OR k.id = $6 OR k.name ILIKE $7
    OR EXISTS (SELECT FROM service_a.secret s WHERE s.key_id = k.id AND s.last4 = $6))`;
const NEWEST = 'AND ($9::bigint IS NULL OR k.seq < $9) ORDER BY k.seq DESC';
const BY_END = `AND ($9::bigint IS NULL OR (k.expires_at, k.seq) > (SELECT o.expires_at, o.seq FROM service_a.key o WHERE o.seq = $9))
  ORDER BY k.expires_at, k.seq`;
