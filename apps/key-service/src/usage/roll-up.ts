import type { Pool, PoolClient, QueryConfig } from 'pg';
import { HOUR_LOCKS } from './fold.js';

/** Held by who rolls up, to the end of each step; any number of the platform's own. */
const LEADER_LOCK = 7_259_310_043;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** How long after its end a period is rolled up: most of what is counted late has come by then. */
const SETTLED_MS = 120_000;
const STEP_TIMEOUT_MS = 60_000;

const SUM_HOUR = `
  WITH summed AS (
    INSERT INTO keys.usage_hour AS h (at, key_id, service, secret, superseded, code, count)
    SELECT $1::timestamptz, key_id, service, secret, superseded, code, sum(count) FROM keys.usage_minute
    WHERE at >= $1::timestamptz AND at < $1::timestamptz + interval '1 hour' GROUP BY 2, 3, 4, 5, 6
    ON CONFLICT (key_id, at, service, secret, superseded, code) DO UPDATE SET count = greatest(h.count, excluded.count)
  ),
  day AS (
    INSERT INTO keys.usage_stale_day (at) VALUES (date_trunc('day', $1::timestamptz, 'UTC')) ON CONFLICT DO NOTHING
  )
  DELETE FROM keys.usage_stale_hour WHERE at = $1`;

const SUM_DAY = `
  WITH summed AS (
    INSERT INTO keys.usage_day AS d (at, key_id, service, secret, superseded, code, count)
    SELECT $1::timestamptz, key_id, service, secret, superseded, code, sum(count) FROM keys.usage_hour
    WHERE at >= $1::timestamptz AND at < $1::timestamptz + interval '24 hours' GROUP BY 2, 3, 4, 5, 6
    ON CONFLICT (key_id, at, service, secret, superseded, code) DO UPDATE SET count = greatest(d.count, excluded.count)
  )
  DELETE FROM keys.usage_stale_day WHERE at = $1`;

const NEXT_HOUR = 'SELECT min(at) AS at FROM keys.usage_stale_hour WHERE at <= $1';
/** A day is summed when all its hours are. */
const NEXT_DAY = `SELECT min(d.at) AS at FROM keys.usage_stale_day d WHERE d.at <= $1 AND NOT EXISTS (
  SELECT FROM keys.usage_stale_hour h WHERE h.at >= d.at AND h.at < d.at + interval '24 hours')`;

/**
 * Sums the minutes of the oldest hour that is over, else the hours of the oldest day that is, in one transaction. Of several
 * processes one does it; a period that is summed again comes out the same, or higher where something was counted late.
 *
 * @param nowMs milliseconds since 1970
 * @param cover makes sure that rows of a time can be written
 * @returns whether there may be more to do
 */
export async function rollUpNext(
  pool: Pool,
  nowMs: number,
  cover: (ms: number) => Promise<void>,
): Promise<boolean> {
  const hour = await next(pool, NEXT_HOUR, nowMs - SETTLED_MS - HOUR_MS);
  const day = hour ?? (await next(pool, NEXT_DAY, nowMs - SETTLED_MS - DAY_MS));
  if (day === null) return false;
  await cover(day.getTime());
  return asLeader(pool, (client) => (hour === null ? sumDay(client, day) : sumHour(client, hour)));
}

async function next(pool: Pool, text: string, beforeMs: number): Promise<Date | null> {
  const { rows } = await pool.query<{ at: Date | null }>(text, [new Date(beforeMs)]);
  return rows[0]!.at;
}

async function sumHour(client: PoolClient, hour: Date): Promise<void> {
  // whoever is writing counts of this hour has done so then, and whoever comes later marks it again
  await client.query('SELECT pg_advisory_xact_lock($1, $2)', [
    HOUR_LOCKS,
    hour.getTime() / HOUR_MS,
  ]);
  await client.query(slow(SUM_HOUR, hour));
}

async function sumDay(client: PoolClient, day: Date): Promise<void> {
  await client.query(slow(SUM_DAY, day));
}

/** A statement that may take longer than the pool's others. */
function slow(text: string, at: Date): QueryConfig {
  return { text, values: [at], query_timeout: STEP_TIMEOUT_MS + 1_000 } as QueryConfig;
}

/** Runs a step in a transaction, unless another process is at one. */
async function asLeader(pool: Pool, step: (client: PoolClient) => Promise<void>): Promise<boolean> {
  const client = await pool.connect();
  try {
    await client.query(`BEGIN; SET LOCAL statement_timeout = ${STEP_TIMEOUT_MS}`);
    const { rows } = await client.query<{ mine: boolean }>(
      'SELECT pg_try_advisory_xact_lock($1) AS mine',
      [LEADER_LOCK],
    );
    if (rows[0]!.mine) await step(client);
    await client.query('COMMIT');
    client.release();
    return rows[0]!.mine;
  } catch (error) {
    client.release(true);
    throw error;
  }
}
