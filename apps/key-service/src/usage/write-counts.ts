import type { Pool } from 'pg';
import type { UsageCount } from './usage-buffer.js';

/** Class of the advisory locks that keep an hour's counts from being summed while some of them are being written. */
export const HOUR_LOCKS = 7_259_310;

const HOUR_MINUTES = 60;
const MINUTE_MS = 60_000;

/** Counts of one process that are written together, once: each next batch has a higher number. */
export interface Batch {
  number: number;
  counts: readonly UsageCount[];
  /** Everything that was counted before this is in this batch or an earlier one, by `performance.now()`. */
  toMs: number;
}

/**
 * Counts as rows, and the statement's parameters for them: `$1` hours since 1970, `$2` to `$6` what they have in common with
 * others, a column each, `$7` to `$9` a column each of which of those it is, the key, and the count.
 */
const ROWS = `
  held AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(${HOUR_LOCKS}, hour) FROM (SELECT unnest($1::int[]) AS hour ORDER BY 1) AS hours
  ),
  given AS (
    SELECT to_timestamp(minute * 60.0) AS at, key_id, service, secret, superseded, code, sum(count) AS count
    FROM unnest($7::int[], $8::text[], $9::bigint[]) AS one (kind, key_id, count)
      JOIN unnest($2::int[], $3::text[], $4::int[], $5::bool[], $6::text[]) WITH ORDINALITY
        AS kind (minute, service, secret, superseded, code, kind) USING (kind)
    GROUP BY 1, 2, 3, 4, 5, 6
  )`;

/** Adds the rows, if `fresh` has one: first the hours that are stale by that, in order, then the counts, in order. */
const COUNT = `
  stale AS (
    INSERT INTO keys.usage_stale_hour (at) SELECT to_timestamp(hour * 3600.0) FROM fresh, unnest($1::int[]) AS hour ORDER BY 1
    ON CONFLICT DO NOTHING RETURNING at
  ),
  counted AS (
    INSERT INTO keys.usage_minute AS u (at, key_id, service, secret, superseded, code, count)
    SELECT given.* FROM fresh, (SELECT count(*) FROM stale) AS marked, given ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (key_id, at, service, secret, superseded, code) DO UPDATE SET count = u.count + excluded.count
  )`;

const WRITE_OWN = {
  name: 'usage-own',
  text: `WITH ${ROWS},
    fresh AS (
      INSERT INTO keys.usage_writer AS w (id, batch, counted_to)
      SELECT $10, $11, clock_timestamp() - make_interval(secs => $12) WHERE (SELECT count(*) FROM held) >= 0
      ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, counted_to = excluded.counted_to WHERE w.batch < excluded.batch
      RETURNING id
    ), ${COUNT}
    SELECT count(*) FROM fresh`,
};

const WRITE_GUARDS = {
  name: 'usage-guards',
  text: `WITH ${ROWS},
    fresh AS (
      INSERT INTO keys.usage_batch (service, id, accepted, ignored)
      SELECT $10, $11, $12, $13 WHERE (SELECT count(*) FROM held) >= 0
      ON CONFLICT DO NOTHING RETURNING accepted, ignored
    ), ${COUNT}
    SELECT accepted, ignored FROM fresh UNION ALL
    SELECT accepted, ignored FROM keys.usage_batch WHERE service = $10 AND id = $11`,
};

/**
 * Writes a batch of this process in one statement, and with it up to when all that it counted is written. A batch that was
 * written before, by an attempt whose answer was lost, changes nothing.
 *
 * @param writer id of the process
 * @throws where PostgreSQL does not answer; the same batch must then be written again before the next
 */
export async function writeBatch(pool: Pool, writer: string, batch: Batch): Promise<void> {
  const ageSeconds = (performance.now() - batch.toMs) / 1_000;
  const values = [...columnsOf(batch.counts), writer, batch.number, ageSeconds];
  await pool.query({ ...WRITE_OWN, values });
}

/** Counts of a guard, under the id that it gave them. */
export interface GuardBatch {
  service: string;
  id: string;
  counts: readonly UsageCount[];
  /** Entries that are not among the counts. */
  ignored: number;
  accepted: number;
}

/**
 * Writes a guard's batch in one statement, unless it was written before.
 *
 * @returns what was taken the first time
 */
export async function writeGuardBatch(
  pool: Pool,
  batch: GuardBatch,
): Promise<{ accepted: number; ignored: number }> {
  const { service, id, counts, accepted, ignored } = batch;
  const values = [...columnsOf(counts), service, id, accepted, ignored];
  const { rows } = await pool.query<{ accepted: number; ignored: number }>({
    ...WRITE_GUARDS,
    values,
  });
  return rows[0] ?? { accepted, ignored };
}

/** As texts of arrays: the driver would make the same of them, in ten times the time. */
function columnsOf(counts: readonly UsageCount[]): string[] {
  const hours = new Set(counts.map((one) => Math.floor(one.minute / HOUR_MINUTES)));
  const { kinds, places } = kindsOf(counts);
  return [
    arrayOf([...hours]),
    arrayOf(kinds.map((one) => one.minute)),
    arrayOf(kinds.map((one) => quoted(one.service))),
    arrayOf(kinds.map((one) => one.secretNumber)),
    arrayOf(kinds.map((one) => one.superseded)),
    arrayOf(kinds.map((one) => one.code)),
    arrayOf(places),
    arrayOf(counts.map((one) => quoted(one.keyId))),
    arrayOf(counts.map((one) => one.count)),
  ];
}

/** One of each kind, which most counts of a second have in common, and the place of each count's kind, from 1. */
function kindsOf(counts: readonly UsageCount[]): { kinds: UsageCount[]; places: number[] } {
  const kinds: UsageCount[] = [];
  let place = -1;
  const places = counts.map((one) => {
    if (place < 0 || !isOfKind(kinds[place]!, one)) {
      place = kinds.findIndex((other) => isOfKind(other, one));
      if (place < 0) place = kinds.push(one) - 1;
    }
    return place + 1;
  });
  return { kinds, places };
}

function isOfKind(kind: UsageCount, one: UsageCount): boolean {
  return (
    kind.minute === one.minute &&
    kind.service === one.service &&
    kind.secretNumber === one.secretNumber &&
    kind.superseded === one.superseded &&
    kind.code === one.code
  );
}

function arrayOf(values: readonly unknown[]): string {
  return `{${values.join(',')}}`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** First and last time of some counts, in milliseconds since 1970. */
export function spanOf(counts: readonly UsageCount[]): { firstMs: number; lastMs: number } {
  const minutes = counts.map((one) => one.minute);
  const first = minutes.reduce((a, b) => Math.min(a, b), Infinity);
  const last = minutes.reduce((a, b) => Math.max(a, b), -Infinity);
  return { firstMs: first * MINUTE_MS, lastMs: last * MINUTE_MS };
}
