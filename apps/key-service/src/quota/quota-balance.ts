import type pg from 'pg';
import type { QuotaRecord } from '#key-core';

/** A share of the handed-out units that makes a lease: one in a hundred of what is left, never more than 1,000. */
const LEASE_DIVISOR = 100;
const MAX_LEASE = 1_000;

/** What PostgreSQL handed out of a quota, and what it has left. */
export interface Taken {
  units: number;
  remaining: number;
  /** Until the next refill; null where there is none. */
  refillInMs: number | null;
}

/** How many units several callers want, in their order. */
export interface Wanted {
  costs: readonly number[];
  /**
   * true: for a lease, so a little more is handed out, and the rest where there is not enough. false: only what the first of
   * the callers, as many as can be, need to the unit.
   */
  isLease: boolean;
}

/**
 * Takes units from a quota, after refilling it where a day or month has begun since: one atomic statement, so that all
 * replicas together never take more than there is.
 *
 * @returns null where the key has another quota by now
 */
export async function takeUnitsOf(
  pool: pg.Pool,
  keyId: string,
  quota: QuotaRecord,
  wanted: Wanted,
): Promise<Taken | null> {
  const taken = await take(pool, keyId, quota, wanted);
  if (taken !== null) return taken;
  const { setting, limit, refill } = quota;
  await pool.query({ ...OPEN, values: [keyId, setting, limit, refill?.every ?? null] });
  return take(pool, keyId, quota, wanted);
}

/** A key and its quota. */
export interface KeyQuota {
  keyId: string;
  quota: QuotaRecord;
}

/** What quotas have left, in their order, without taking any; one that was never used has all of it. */
export async function readBalances(
  query: (sql: string, values: unknown[]) => Promise<unknown>,
  quotas: readonly KeyQuota[],
): Promise<Taken[]> {
  const terms = quotas.map(({ keyId, quota: { setting, limit, refill } }) => {
    return { id: keyId, setting, limit, amount: refill?.amount ?? 0, every: refill?.every ?? null };
  });
  const rows = (await query(READ, [JSON.stringify(terms)])) as Row[];
  return rows.map(takenOf);
}

interface Row {
  taken: number;
  remaining: number;
  refill_in_ms: number | null;
}

async function take(
  pool: pg.Pool,
  keyId: string,
  quota: QuotaRecord,
  { costs, isLease }: Wanted,
): Promise<Taken | null> {
  const values = [...termsOf(keyId, quota), costs, isLease];
  const { rows } = await pool.query<Row>({ ...TAKE, values });
  return rows[0] === undefined ? null : takenOf(rows[0]);
}

function takenOf({ taken, remaining, refill_in_ms: refillInMs }: Row): Taken {
  return { units: taken, remaining, refillInMs };
}

function termsOf(keyId: string, { setting, limit, refill }: QuotaRecord): unknown[] {
  return [keyId, setting, limit, refill?.amount ?? 0, refill?.every ?? null];
}

/** Times in UTC: `start` of the present day or month, and when the `next` begins. */
const periodOf = (every: string): string => `
  (SELECT utc, coalesce(start, 'epoch') AS start, start + ('1 ' || ${every})::interval AS next
   FROM (SELECT utc, date_trunc(${every}, utc) AS start
         FROM (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS utc) clock) cut) p`;

/** Of a balance `b` with the refills that are due by now; the limit where there is no balance, as `least` passes over nulls. */
const availableOf = (limit: string, amount: string, every: string): string => `
  least(${limit}, b.remaining + ${amount} * greatest(0, CASE ${every}
    WHEN 'day' THEN p.start::date - b.refilled_at::date
    WHEN 'month' THEN (extract(year FROM p.start) - extract(year FROM b.refilled_at)) * 12
                      + extract(month FROM p.start) - extract(month FROM b.refilled_at)
    ELSE 0 END)::bigint)`;

const REFILL_IN_MS = `ceil(extract(epoch FROM p.next - p.utc) * 1000)::float8 AS refill_in_ms`;

const TAKE = {
  name: 'quota-take',
  text: `
    WITH balance AS (
      SELECT b.key_id, ${availableOf('$3::bigint', '$4::bigint', '$5::text')} AS available,
        greatest(p.start, b.refilled_at) AS refilled_at, ${REFILL_IN_MS}
      FROM keys.quota_balance b, ${periodOf('$5::text')}
      WHERE b.key_id = $1 AND b.setting = $2 FOR UPDATE OF b
    ),
    sums AS (SELECT sum(cost) OVER (ORDER BY place) AS wanted
             FROM unnest($6::bigint[]) WITH ORDINALITY AS one (cost, place)),
    taking AS (
      SELECT *, CASE WHEN $7::boolean
          THEN least(available, greatest((SELECT max(wanted) FROM sums),
                                         least(available / ${LEASE_DIVISOR}, ${MAX_LEASE})))
          ELSE coalesce((SELECT max(wanted) FROM sums WHERE wanted <= available), 0)
        END::bigint AS taken
      FROM balance
    )
    UPDATE keys.quota_balance b SET remaining = t.available - t.taken, refilled_at = t.refilled_at
    FROM taking t WHERE b.key_id = t.key_id
    RETURNING t.taken::float8 AS taken, b.remaining::float8 AS remaining, t.refill_in_ms`,
};

/** Makes the balance of a quota that is used for the first time, in the place of that of an older one. */
const OPEN = {
  name: 'quota-open',
  text: `
    INSERT INTO keys.quota_balance AS b (key_id, setting, remaining, refilled_at)
    SELECT $1, $2::integer, $3::bigint, p.start FROM ${periodOf('$4::text')}
    ON CONFLICT (key_id) DO UPDATE
      SET setting = excluded.setting, remaining = excluded.remaining, refilled_at = excluded.refilled_at
      WHERE b.setting < excluded.setting`,
};

const READ = `
  SELECT 0::float8 AS taken, ${availableOf('q."limit"', 'q.amount', 'q.every')}::float8 AS remaining, ${REFILL_IN_MS}
  FROM ROWS FROM (jsonb_to_recordset($1::jsonb)
      AS (id text, setting integer, "limit" bigint, amount bigint, every text)) WITH ORDINALITY
      AS q (id, setting, "limit", amount, every, place)
    CROSS JOIN LATERAL ${periodOf('q.every')}
    LEFT JOIN keys.quota_balance b ON b.key_id = q.id AND b.setting = q.setting
  ORDER BY q.place`;
