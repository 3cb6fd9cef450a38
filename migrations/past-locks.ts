import { setTimeout as pause } from 'node:timers/promises';
import type { DataSource } from 'typeorm';

/**
 * How long a migration waits for one lock: whoever comes for the table meanwhile stands behind it, and the hot path has half a second.
 */
const WAIT_MS = 250;
/** Every tenth time longer, and others with it: after a second PostgreSQL stops an autovacuum that others wait for. */
const LONG_WAIT_MS = 1_100;
const LONG_EVERY = 10;
/** Until the next try, in which those who stood behind it are served. */
const PAUSE_MS = 1_000;
/** Two minutes and a quarter. */
const TRIES = 100;

/** `lock_not_available`, and `deadlock_detected`, which a long wait ends with where both sides wait. */
const LOCKED: unknown[] = ['55P03', '40P01'];

/**
 * Runs migrations, and again from the one that did not get a lock in time, until they have all they need. Who comes for a table waits
 * no longer because a migration waits for somebody who holds it, be it a backup that takes an hour, than it waits at a time.
 *
 * @param db with one connection, which is told how long to wait
 * @param work does nothing twice that is done
 * @throws Error saying what to do where somebody holds a table for minutes
 */
export async function pastLocks<T>(db: DataSource, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    await db.query(`SET lock_timeout = ${tries % LONG_EVERY === 0 ? LONG_WAIT_MS : WAIT_MS}`);
    try {
      return await work();
    } catch (error) {
      if (!LOCKED.includes((error as { code?: string }).code)) throw error;
      if (tries === TRIES) throw new Error(ADVICE, { cause: error });
    }
    await pause(PAUSE_MS);
  }
}

const ADVICE =
  'A table that a migration changes is held for minutes by a long transaction. Look it up in pg_stat_activity, wait for it or end it, and migrate again: what is done is not done twice';
