import type { Pool } from 'pg';

/** What one reading of the fence's tables says. */
export interface Reading {
  epoch: number;
  runs: string[];
  /** Newest number of the change log. */
  head: number;
  /** The database's own time of this reading, as it writes it. */
  readAt: string;
  /** Replicas that reported within the last 3 seconds, this one included. */
  replicas: number;
}

/**
 * Reads epoch, run ids and head of the change log, and reports for this replica the newest reading that has arrived before
 * (never the one under way: its answer may be lost after PostgreSQL has done it).
 */
export async function readFence(
  pool: Pool,
  replica: string,
  arrived: string | null,
): Promise<Reading> {
  const { rows } = await pool.query<{
    epoch: string;
    runs: string[];
    head: string;
    at: string;
    replicas: number;
  }>({
    name: 'fence',
    text: `WITH report AS (
             INSERT INTO keys.replica AS r (id, read_at) VALUES ($1, coalesce($2::timestamptz, '-infinity'))
             ON CONFLICT (id) DO UPDATE SET read_at = greatest(r.read_at, excluded.read_at), seen_at = clock_timestamp()
           )
           SELECT e.epoch, e.run_ids AS runs, h.seq AS head, clock_timestamp()::text AS at,
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
    readAt: row.at,
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
 */
export async function raiseEpoch(
  pool: Pool,
  runs: readonly string[],
  { unlessListed = false } = {},
): Promise<{ epoch: number; raisedAt: string }> {
  await pool.query(
    `UPDATE keys.cache_epoch SET epoch = epoch + 1, run_ids = $1 WHERE NOT ($2 AND $1::text[] <@ run_ids)`,
    [runs, unlessListed],
  );
  const { rows } = await pool.query<{ at: string; epoch: string }>(
    'SELECT clock_timestamp()::text AS at, epoch FROM keys.cache_epoch',
  );
  return { epoch: Number(rows[0]!.epoch), raisedAt: rows[0]!.at };
}

/**
 * Whether some other replica may still go by an epoch older than `raisedAt`: it was heard of within `withinSeconds` and has
 * not reported a reading newer than that.
 */
export async function someoneMayLag(
  pool: Pool,
  replica: string,
  raisedAt: string,
  withinSeconds: number,
): Promise<boolean> {
  const { rows } = await pool.query<{ lag: boolean }>(
    `SELECT EXISTS (SELECT FROM keys.replica WHERE id <> $1 AND read_at <= $2::timestamptz
                    AND seen_at > clock_timestamp() - make_interval(secs => $3)) AS lag`,
    [replica, raisedAt, withinSeconds],
  );
  return rows[0]!.lag;
}

/** Takes this replica off the list when it stops, and forgets those not heard of for a day. */
export async function leaveFence(pool: Pool, replica: string): Promise<void> {
  await pool.query("DELETE FROM keys.replica WHERE id = $1 OR seen_at < now() - interval '1 day'", [
    replica,
  ]);
}
