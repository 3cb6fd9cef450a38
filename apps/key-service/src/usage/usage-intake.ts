import type { Pool } from 'pg';
import type { TakenUsage, UsageBatch, UsageEntry } from '#contracts';
import { writeGuardBatch } from './journal.js';
import type { UsageCount } from './usage-buffer.js';

const MINUTE_MS = 60_000;
const OLDEST_MS = 3_600_000;
/** A guard's clock may be this far ahead. */
const AHEAD_MS = MINUTE_MS;

/** What the intake works with. */
export interface UsageIntakeParts {
  pool: Pool;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** Takes what the guards of services have decided by themselves. */
export class UsageIntake {
  constructor(private readonly parts: UsageIntakeParts) {}

  /**
   * Counts a batch of a service's guard, once a `batchId`. Entries about keys that are not granted for the service, about
   * minutes more than an hour ago and about minutes to come are ignored.
   *
   * @throws an outage error where PostgreSQL does not answer; the guard may send the same batch again
   */
  async take(service: string, { batchId, entries }: UsageBatch): Promise<TakenUsage> {
    const { pool, now } = this.parts;
    const nowMs = now();
    const timely = entries.filter(({ minute }) => isTimely(Date.parse(minute), nowMs));
    const known = await granted(pool, service, timely);
    const counts = timely
      .filter((one) => known.has(one.keyId))
      .map((entry) => countOf(entry, service, nowMs));
    const accepted = counts.length;
    const batch = { service, id: batchId, counts, accepted, ignored: entries.length - accepted };
    return writeGuardBatch(pool, batch);
  }
}

function isTimely(atMs: number, nowMs: number): boolean {
  return atMs >= nowMs - OLDEST_MS && atMs <= nowMs + AHEAD_MS;
}

async function granted(
  pool: Pool,
  service: string,
  entries: readonly UsageEntry[],
): Promise<Set<string>> {
  const ids = [...new Set(entries.map((one) => one.keyId))];
  const { rows } = await pool.query<{ key_id: string }>({
    name: 'usage-granted',
    text: 'SELECT key_id FROM keys.key_grant WHERE service = $1 AND key_id = ANY ($2)',
    values: [service, ids],
  });
  return new Set(rows.map((row) => row.key_id));
}

/** An entry says only the minute: its last use is taken to be at the minute's end, or now where that has not come. */
function countOf(entry: UsageEntry, service: string, nowMs: number): UsageCount {
  const minute = Math.floor(Date.parse(entry.minute) / MINUTE_MS);
  return {
    keyId: entry.keyId,
    secretNumber: entry.secretNumber ?? 0,
    superseded: entry.superseded ?? false,
    service,
    code: entry.code,
    minute,
    count: entry.count,
    lastMs: Math.min((minute + 1) * MINUTE_MS - 1, nowMs),
  };
}
