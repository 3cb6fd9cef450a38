import type { Pool } from 'pg';
import { journalColumns } from './journal-columns.js';
import { writeLastUsed, type HeldUse, type Uses } from './last-used.js';
import { Pages } from './pages.js';
import type { Partitions } from './partitions.js';
import type { UsageCount } from './usage-buffer.js';

/** Class of the advisory locks that keep an hour's counts from being summed while some of them are being written. */
export const HOUR_LOCKS = 7_259_310;

const DAY_MS = 86_400_000;
const DAY_MINUTES = 1_440;
const MINUTE_MS = 60_000;
/** Rows of the journal that are folded at a time. */
const MAX_ROWS = 200;
/** Keys that are held for a moment at a time: a change of one waits for it. */
const MAX_USES = 1_000;

const NEWEST = 'SELECT max(id)::text AS id FROM keys.usage_journal';

/**
 * Adds the counts of the oldest rows that are pending, without those of the days `$3`, to the minutes: first the hours that are
 * stale by that, in order, then the counts, in order. Rows that another one is folding are left to it.
 */
const COUNT = `
  WITH taken AS (
    UPDATE keys.usage_journal j SET counted = true
    FROM (
      SELECT id FROM keys.usage_journal WHERE NOT counted AND id <= $2
        AND NOT EXISTS (SELECT FROM unnest(minutes) AS minute WHERE minute / ${DAY_MINUTES} = ANY ($3::int[]))
      ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS one
    WHERE j.id = one.id RETURNING j.*
  ),
  given AS MATERIALIZED (
    SELECT to_timestamp(t.minutes[e.kind] * 60.0) AS at, e.key_id, t.services[e.kind] AS service, t.secrets[e.kind] AS secret,
      t.superseded[e.kind] AS superseded, t.codes[e.kind] AS code, sum(e.count) AS count
    FROM taken t, unnest(t.kinds, t.key_ids, t.counts) AS e (kind, key_id, count) GROUP BY 1, 2, 3, 4, 5, 6
  ),
  held AS MATERIALIZED (
    SELECT hour, pg_advisory_xact_lock_shared(${HOUR_LOCKS}, hour)
    FROM (SELECT DISTINCT floor(extract(epoch FROM at) / 3600)::int AS hour FROM given ORDER BY 1) AS hours
  ),
  stale AS (
    INSERT INTO keys.usage_stale_hour (at) SELECT to_timestamp(hour * 3600.0) FROM held ORDER BY 1
    ON CONFLICT DO NOTHING RETURNING at
  ),
  counted AS (
    INSERT INTO keys.usage_minute AS u (at, key_id, service, secret, superseded, code, count)
    SELECT given.* FROM (SELECT count(*) FROM stale) AS marked, given ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (key_id, at, service, secret, superseded, code) DO UPDATE SET count = u.count + excluded.count
  )
  SELECT count(*)::int AS rows FROM taken`;

const DAYS = `
  SELECT DISTINCT minute / ${DAY_MINUTES} AS day FROM keys.usage_journal, unnest(minutes) AS minute WHERE NOT counted`;

const COUNTED = `
  SELECT array_agg(id)::text AS ids, min(at) AS at, count(*)::int AS rows
  FROM (SELECT id, at FROM keys.usage_journal WHERE counted AND id <= $2 ORDER BY id LIMIT $1) AS done`;

const USES = `
  WITH used AS (
    SELECT e.key_id, j.secrets[e.kind] AS secret, max(j.minutes[e.kind] * ${MINUTE_MS}.0::float8 + e.last) AS ms
    FROM keys.usage_journal j, unnest(j.kinds, j.key_ids, j.lasts) AS e (kind, key_id, last)
    WHERE j.id = ANY ($1::bigint[]) AND j.codes[e.kind] = 'VALID' AND e.key_id <> '' GROUP BY 1, 2
  )
  SELECT array_agg(key_id)::text AS key_ids, array_agg(secret)::text AS secrets, array_agg(ms)::text AS times
  FROM (SELECT *, (row_number() OVER (ORDER BY key_id) - 1) / ${MAX_USES} AS slice FROM used) AS u GROUP BY slice`;

/** Takes rows away that are done with, and keeps what is left to do of them as one, as old as they were. */
const FINISH = `
  WITH gone AS (DELETE FROM keys.usage_journal WHERE id = ANY ($10::bigint[]) RETURNING id)
  INSERT INTO keys.usage_journal (at, counted, minutes, services, secrets, superseded, codes, kinds, key_ids, counts, lasts)
  SELECT $11::timestamptz, true, $1::int[], $2::text[], $3::int[], $4::bool[], $5::text[], $6::int[], $7::text[], $8::bigint[], $9::int[]
  WHERE cardinality($6::int[]) > 0 AND EXISTS (SELECT FROM gone)`;

/**
 * Empties the journal of what is in it at the start: adds its counts to the minutes, then writes the last uses of keys and
 * secrets, a thousand at a time. Each step can be done again, by any process; several at once do no harm. A use whose key a
 * change holds stays in the journal, as a new row, and so does a row of a day whose partitions cannot be made.
 */
export class Fold {
  private readonly counting: Pages;
  private readonly using: Pages;

  constructor(
    private readonly pool: Pool,
    private readonly partitions: Partitions,
    maxRows = MAX_ROWS,
  ) {
    this.counting = new Pages(maxRows);
    this.using = new Pages(maxRows);
  }

  /** @throws where not all could be done; what is not done then is done the next time */
  async run(): Promise<void> {
    const { rows } = await this.pool.query<{ id: string | null }>(NEWEST);
    const upTo = rows[0]!.id;
    if (upTo === null) return;
    const failures = await this.cover();
    try {
      const without = [...failures.keys()];
      await this.counting.each((size) => this.count(size, upTo, without));
    } catch (error) {
      this.partitions.forget();
      throw error;
    } finally {
      await this.using.each((size) => this.writeUses(size, upTo));
    }
    for (const failure of failures.values()) throw failure;
  }

  /** @returns the days whose counts cannot be added to the minutes, and why */
  private async cover(): Promise<Map<number, unknown>> {
    const { rows } = await this.pool.query<{ day: number }>(DAYS);
    const failures = new Map<number, unknown>();
    for (const { day } of rows)
      await this.partitions.cover(day * DAY_MS).catch((error: unknown) => failures.set(day, error));
    return failures;
  }

  private async count(size: number, upTo: string, without: number[]): Promise<number> {
    const { rows } = await this.pool.query<{ rows: number }>(COUNT, [size, upTo, without]);
    return rows[0]!.rows;
  }

  private async writeUses(size: number, upTo: string): Promise<number> {
    const { rows } = await this.pool.query<CountedRows>(COUNTED, [size, upTo]);
    const { ids, at, rows: found } = rows[0]!;
    if (ids === null) return 0;
    const { rows: slices } = await this.pool.query<Uses>(USES, [ids]);
    const held: HeldUse[] = [];
    for (const uses of slices) held.push(...(await writeLastUsed(this.pool, uses)));
    await this.pool.query(FINISH, [...journalColumns(held.map(onlyUsed)), ids, at]);
    return found;
  }
}

interface CountedRows {
  ids: string | null;
  at: Date;
  rows: number;
}

function onlyUsed({ key_id, secret, ms }: HeldUse): UsageCount {
  const minute = Math.floor(ms / MINUTE_MS);
  const kind = { service: '', superseded: false, code: 'VALID' } as const;
  return { ...kind, keyId: key_id, secretNumber: secret, minute, count: 0, lastMs: ms };
}
