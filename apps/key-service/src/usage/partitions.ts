import type { Pool } from 'pg';

const DAY_MS = 86_400_000;
const AHEAD_MS = 2 * DAY_MS;

/** Makes the tables' partitions ahead of time. The role of the service may not change the schema: a function does it. */
export class Partitions {
  /** Days since 1970 whose partitions are there. */
  private readonly days = new Set<number>();

  constructor(private readonly pool: Pool) {}

  /** Makes sure that counts of a time's day can be written; asks PostgreSQL once a day. */
  async cover(ms: number): Promise<void> {
    if (!this.days.has(dayOf(ms))) await this.keep(ms);
  }

  /** Asks PostgreSQL again the next time. */
  forget(): void {
    this.days.clear();
  }

  /** Makes the partitions of a time's day and the two after it, of its month and theirs, and drops what is too old. */
  async keep(ms: number): Promise<void> {
    await this.pool.query('SELECT keys.keep_usage_partitions($1, $2)', [
      new Date(ms),
      new Date(ms + AHEAD_MS),
    ]);
    this.days.add(dayOf(ms));
  }
}

function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}
