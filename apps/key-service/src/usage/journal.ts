import type { Pool } from 'pg';
import { journalColumns } from './journal-columns.js';
import type { UsageCount } from './usage-buffer.js';

/** How long the journal is left to grow before it is folded into the minutes. */
export const FOLD_EVERY_SECONDS = 20;

/** Counts of one process that are written together, once: each next batch has a higher number. */
export interface Batch {
  number: number;
  counts: readonly UsageCount[];
  /** Everything that was counted before this is in this batch or an earlier one, by `performance.now()`. */
  toMs: number;
}

/** Appends the counts of `$1` to `$9`, see {@link journalColumns}, if there are any and `fresh` has a row. */
const APPENDED = `
  appended AS (
    INSERT INTO keys.usage_journal (minutes, services, secrets, superseded, codes, kinds, key_ids, counts, lasts)
    SELECT $1::int[], $2::text[], $3::int[], $4::bool[], $5::text[], $6::int[], $7::text[], $8::bigint[], $9::int[]
    FROM fresh WHERE cardinality($6::int[]) > 0 RETURNING id
  )`;

/**
 * Of all processes the first that finds the journal due, and not empty, takes the turn. It is due, too, where the time that is
 * set is further ahead than anyone sets it: PostgreSQL's clock was set back.
 */
const TURN = `
  turn AS (
    UPDATE keys.usage_fold SET next_at = clock_timestamp() + interval '${FOLD_EVERY_SECONDS} seconds'
    WHERE (next_at <= clock_timestamp() OR next_at > clock_timestamp() + interval '${FOLD_EVERY_SECONDS} seconds')
      AND (EXISTS (SELECT FROM appended) OR EXISTS (SELECT FROM keys.usage_journal)) RETURNING next_at
  )`;

const WRITE_OWN = {
  name: 'usage-own',
  text: `WITH fresh AS (
      INSERT INTO keys.usage_writer AS w (id, batch, counted_to)
      VALUES ($10, $11, statement_timestamp() - make_interval(secs => $12))
      ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, counted_to = excluded.counted_to WHERE w.batch < excluded.batch
      RETURNING id
    ), ${APPENDED}, ${TURN}
    SELECT EXISTS (SELECT FROM turn) AS turn`,
};

const WRITE_GUARDS = {
  name: 'usage-guards',
  text: `WITH fresh AS (
      INSERT INTO keys.usage_batch (service, id, accepted, ignored) VALUES ($10, $11, $12, $13)
      ON CONFLICT DO NOTHING RETURNING accepted, ignored
    ), ${APPENDED}
    SELECT accepted, ignored FROM fresh UNION ALL
    SELECT accepted, ignored FROM keys.usage_batch WHERE service = $10 AND id = $11`,
};

/**
 * Writes a batch of this process in one statement, and with it up to when all that it counted is written. A batch that was
 * written before, by an attempt whose answer was lost, changes nothing.
 *
 * @param writer id of the process
 * @returns whether it is this process's turn to fold the journal
 * @throws where PostgreSQL does not answer; the same batch must then be written again before the next
 */
export async function writeBatch(pool: Pool, writer: string, batch: Batch): Promise<boolean> {
  const columns = journalColumns(batch.counts);
  const client = await pool.connect();
  try {
    // told only now: a wait for the connection would make it later than it is
    const ageSeconds = (performance.now() - batch.toMs) / 1_000;
    const values = [...columns, writer, batch.number, ageSeconds];
    const { rows } = await client.query<{ turn: boolean }>({ ...WRITE_OWN, values });
    client.release();
    return rows[0]!.turn;
  } catch (error) {
    client.release(true);
    throw error;
  }
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
  const values = [...journalColumns(counts), service, id, accepted, ignored];
  const { rows } = await pool.query<{ accepted: number; ignored: number }>({
    ...WRITE_GUARDS,
    values,
  });
  return rows[0] ?? { accepted, ignored };
}
