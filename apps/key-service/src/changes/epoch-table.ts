import type { Pool } from 'pg';

/** What one reading of the fence's tables says. */
export interface Reading {
  epoch: number;
  runs: string[];
  /** Newest number of the change log. */
  head: number;
  /** Replicas that reported within the last 3 seconds, this one included. */
  replicas: number;
}

/**
 * Reads epoch, run ids and head of the change log, and reports for this replica the newest epoch of a reading that has
 * arrived before (never the one under way: its answer may be lost after PostgreSQL has done it).
 */
export async function readFence(pool: Pool, replica: string, arrived: number): Promise<Reading> {
  const { rows } = await pool.query<{
    epoch: string;
    runs: string[];
    head: string;
    replicas: number;
  }>({
    name: 'fence',
    text: `WITH report AS (
             INSERT INTO keys.replica AS r (id, epoch) VALUES ($1, $2)
             ON CONFLICT (id) DO UPDATE SET epoch = greatest(r.epoch, excluded.epoch), seen_at = clock_timestamp()
           )
           SELECT e.epoch, e.run_ids AS runs, h.seq AS head,
                  1 + (SELECT count(*)::int FROM keys.replica o
                       WHERE o.id <> $1 AND o.seen_at > clock_timestamp() - interval '3 seconds') AS replicas
           FROM keys.cache_epoch e, keys.change_head h`,
    values: [replica, arrived],
  });
  const row = rows[0]!;
  return {
    epoch: Number(row.epoch),
    runs: row.runs,
    head: Number(row.head),
    replicas: row.replicas,
  };
}

/** Epoch and run ids as they are at this moment. */
export async function readEpoch(pool: Pool): Promise<{ epoch: number; runs: string[] }> {
  const { rows } = await pool.query<{ epoch: string; run_ids: string[] }>(
    'SELECT epoch, run_ids FROM keys.cache_epoch',
  );
  return { epoch: Number(rows[0]!.epoch), runs: rows[0]!.run_ids };
}

/**
 * Raises the epoch, so that no entry filled before is believed any more, and sets the run ids that belong to it. With
 * `unlessListed` nothing is raised where all of them are listed already.
 *
 * @returns the epoch that was raised to, or else the present one
 */
export async function raiseEpoch(
  pool: Pool,
  runs: readonly string[],
  { unlessListed = false } = {},
): Promise<number> {
  const { rows } = await pool.query<{ epoch: string }>(
    `UPDATE keys.cache_epoch SET epoch = epoch + 1, run_ids = $1
     WHERE NOT ($2 AND $1::text[] <@ run_ids) RETURNING epoch`,
    [runs, unlessListed],
  );
  return rows[0] === undefined ? (await readEpoch(pool)).epoch : Number(rows[0].epoch);
}

/**
 * Whether some other replica may still go by an epoch before `epoch`: it was heard of within `withinSeconds` and has not
 * reported a reading of that one or a later one.
 */
export async function someoneMayLag(
  pool: Pool,
  replica: string,
  epoch: number,
  withinSeconds: number,
): Promise<boolean> {
  const { rows } = await pool.query<{ lag: boolean }>(
    `SELECT EXISTS (SELECT FROM keys.replica WHERE id <> $1 AND epoch < $2
                    AND seen_at > clock_timestamp() - make_interval(secs => $3)) AS lag`,
    [replica, epoch, withinSeconds],
  );
  return rows[0]!.lag;
}

/** Takes this replica off the list when it stops, and forgets those not heard of for a day. */
export async function leaveFence(pool: Pool, replica: string): Promise<void> {
  await pool.query("DELETE FROM keys.replica WHERE id = $1 OR seen_at < now() - interval '1 day'", [
    replica,
  ]);
}
