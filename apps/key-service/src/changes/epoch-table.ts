import type { Pool } from 'pg';

/** The history that PostgreSQL writes now: another one after each promotion of a standby or restore of a backup. */
const TIMELINE = 'substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)';

/** For so long a guard may remember what it was told in a history that was lost: its verdicts, and its grace, end sooner. */
const YOUNG_SECONDS = 300;

/** Number of the newest row of the change log that is of an import, 0 where there is none: which rules count. */
const IMPORTS = `(SELECT coalesce(max(l.seq), 0) FROM keys.import i CROSS JOIN LATERAL (
  SELECT seq FROM keys.change_log WHERE target_type = 'import' AND target_id = i.id ORDER BY seq DESC LIMIT 1) l)`;

/** Columns of a statement that reads imports: the history, and how far in it they are. */
export const PLACE_OF_IMPORTS = `${TIMELINE} AS timeline, ${IMPORTS} AS imports`;

/** What one reading of the fence's tables says. */
export interface Reading {
  epoch: number;
  timeline: string;
  runs: string[];
  /** Newest number of the change log that is of an import. */
  imports: number;
  /** Newest number of the change log. */
  head: number;
  /** What the database's clock showed, in milliseconds since 1970. */
  clockMs: number;
  /** Whether that history was met within the last {@link YOUNG_SECONDS}, after another one. */
  isYoung: boolean;
  /** Replicas that reported within the last 3 seconds, this one included. */
  replicas: number;
  /** How far in the change log some other replica, alive or not, has overwritten in Redis; null where none is on the list. */
  overwrittenTo: number | null;
}

/** What a replica reports of itself. */
export interface Report {
  replica: string;
  /** The newest epoch of a reading that has arrived before; never of the one under way: its answer may be lost after PostgreSQL has done it. */
  epoch: number;
  /** The newest row that its imports are read by. */
  imports: number;
  /** How far in the change log it has overwritten in Redis; null where it has none. */
  overwrittenTo: number | null;
}

/** Reads epoch, run ids and head of the change log, and reports for this replica. */
export async function readFence(
  pool: Pool,
  { replica, epoch, imports, overwrittenTo }: Report,
): Promise<Reading> {
  const { rows } = await pool.query<{
    epoch: string;
    timeline: string;
    runs: string[];
    imports: string;
    head: string;
    clock: number;
    young: boolean;
    replicas: number;
    overwritten: string | null;
  }>({
    name: 'fence',
    text: REPORT_AND_READ,
    values: [replica, epoch, imports, overwrittenTo ?? 0],
  });
  const row = rows[0]!;
  return {
    epoch: Number(row.epoch),
    timeline: row.timeline,
    runs: row.runs,
    imports: Number(row.imports),
    head: Number(row.head),
    clockMs: row.clock,
    isYoung: row.young,
    replicas: row.replicas,
    overwrittenTo: row.overwritten === null ? null : Number(row.overwritten),
  };
}

const REPORT_AND_READ = `WITH report AS (
             INSERT INTO keys.replica AS r (id, epoch, imports, overwritten_to) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET epoch = greatest(r.epoch, excluded.epoch), imports = excluded.imports,
               overwritten_to = excluded.overwritten_to, seen_at = clock_timestamp()
           )
           SELECT e.epoch, ${PLACE_OF_IMPORTS}, e.run_ids AS runs, h.seq AS head,
                  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS clock,
                  coalesce(e.timeline_since > clock_timestamp() - interval '${YOUNG_SECONDS} seconds', false) AS young,
                  1 + (SELECT count(*)::int FROM keys.replica o
                       WHERE o.id <> $1 AND o.seen_at > clock_timestamp() - interval '3 seconds') AS replicas,
                  (SELECT max(o.overwritten_to) FROM keys.replica o WHERE o.id <> $1) AS overwritten
           FROM keys.cache_epoch e, keys.change_head h`;

/** What is known of the epoch at this moment. */
export interface Standing {
  epoch: number;
  runs: string[];
  /** Whether the epoch was raised since PostgreSQL began the history that it writes now. */
  isOfThisHistory: boolean;
  /** Whether some other replica may still go by an epoch, or by imports, before those asked about. */
  mayLag: boolean;
}

/** About which epoch is asked, null for the present one, and for whom. */
export interface StandingQuestion {
  replica: string;
  epoch: number | null;
  /** Number of the row of the change log that they are to know their imports by. */
  imports: number;
  /** Replicas that were not heard of for so long go by no epoch any more. */
  withinSeconds: number;
}

/** Reads the epoch, and whether all other replicas have reported a reading of the one asked about, or of a later one. */
export async function readStanding(
  pool: Pool,
  { replica, epoch, imports, withinSeconds }: StandingQuestion,
): Promise<Standing> {
  const { rows } = await pool.query<{
    epoch: string;
    runs: string[];
    known: boolean;
    lag: boolean;
  }>({
    name: 'standing',
    text: `SELECT e.epoch, e.run_ids AS runs, e.timeline IS NOT DISTINCT FROM ${TIMELINE} AS known,
             EXISTS (SELECT FROM keys.replica r WHERE r.id <> $1 AND (r.epoch < coalesce($2::bigint, e.epoch) OR r.imports < $4)
                     AND r.seen_at > clock_timestamp() - make_interval(secs => $3)) AS lag
           FROM keys.cache_epoch e`,
    values: [replica, epoch, withinSeconds, imports],
  });
  const row = rows[0]!;
  return { epoch: Number(row.epoch), runs: row.runs, isOfThisHistory: row.known, mayLag: row.lag };
}

/**
 * Raises the epoch, so that no entry filled before is believed any more. The servers that are listed stay so: what they hold
 * from now on may be believed.
 *
 * @returns the epoch that was raised to
 */
export async function raiseEpoch(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ epoch: string }>(
    'UPDATE keys.cache_epoch SET epoch = epoch + 1 RETURNING epoch',
  );
  return Number(rows[0]!.epoch);
}

/**
 * Lists the run ids of servers that are to be used, and no others, and raises the epoch with it, unless all of them are
 * listed already.
 *
 * @returns the epoch that they belong to
 */
export async function listRuns(pool: Pool, runs: readonly string[]): Promise<number> {
  const { rows } = await pool.query<{ epoch: string }>(
    `UPDATE keys.cache_epoch SET epoch = epoch + 1, run_ids = $1
     WHERE NOT $1::text[] <@ run_ids RETURNING epoch`,
    [runs],
  );
  if (rows[0] !== undefined) return Number(rows[0].epoch);
  const { rows: present } = await pool.query<{ epoch: string }>(
    'SELECT epoch FROM keys.cache_epoch',
  );
  return Number(present[0]!.epoch);
}

/**
 * Raises the epoch for the history that PostgreSQL writes now, unless that was done and the epoch is beyond all that this replica
 * knows. What was cached of a lost history could look like that of the present one: versions, and epochs, are given again.
 *
 * @returns the epoch of this history
 */
export async function enterHistory(pool: Pool, known: number): Promise<number> {
  const { rows } = await pool.query<{ epoch: string }>(
    `WITH raised AS (
       UPDATE keys.cache_epoch SET epoch = greatest(epoch, $1) + 1, timeline = ${TIMELINE}, timeline_since = CASE
         WHEN timeline IS NULL OR timeline = ${TIMELINE} THEN timeline_since ELSE clock_timestamp() END
       WHERE timeline IS DISTINCT FROM ${TIMELINE} OR epoch <= $1 RETURNING epoch
     )
     SELECT coalesce((SELECT epoch FROM raised), epoch) AS epoch FROM keys.cache_epoch`,
    [known],
  );
  return Number(rows[0]!.epoch);
}

/**
 * Takes this replica off the list when it stops, and those not heard of for a day that had overwritten no more. It stays on the list
 * where something is left to overwrite: by that the next one knows.
 */
export async function leaveFence(
  pool: Pool,
  { replica, overwrittenTo }: Pick<Report, 'replica' | 'overwrittenTo'>,
): Promise<void> {
  await pool.query(
    `DELETE FROM keys.replica WHERE CASE id WHEN $1
       THEN $2::bigint IS NULL OR $2 >= (SELECT seq FROM keys.change_head)
       ELSE overwritten_to <= $2 AND seen_at < now() - interval '1 day' END`,
    [replica, overwrittenTo],
  );
}
