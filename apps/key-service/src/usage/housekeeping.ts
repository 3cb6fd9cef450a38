import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { Partitions } from './partitions.js';
import { rollUpNext } from './roll-up.js';

/** What housekeeping works with. */
export interface HousekeepingParts {
  pool: Pool;
  log: Logger;
  partitions: Partitions;
  /** Milliseconds since 1970. */
  now: () => number;
}

const EVERY_MS = 60_000;
const PARTITIONS_EVERY_MS = 3_600_000;

/** A guard may send a batch again for an hour; a process whose counts are a week old is gone, and what it left too. */
const FORGET = `
  WITH batches AS (DELETE FROM keys.usage_batch WHERE at < now() - interval '2 hours')
  DELETE FROM keys.usage_writer WHERE counted_to < now() - interval '7 days'`;

/** Every minute: rolls up what is over, makes and drops partitions, forgets what can no longer be sent again. */
export class Housekeeping {
  private timer: NodeJS.Timeout | undefined;
  private working: Promise<void> = Promise.resolve();
  private partitionsAtMs = -Infinity;
  private isStopped = false;

  constructor(private readonly parts: HousekeepingParts) {}

  /** Begins within the first minute, so that replicas started together do not work at the same time. */
  start(): void {
    this.schedule(Math.random() * EVERY_MS);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.working;
  }

  /** One round. @throws where PostgreSQL does not answer */
  async run(): Promise<void> {
    const { pool, partitions } = this.parts;
    const nowMs = this.parts.now();
    if (performance.now() - this.partitionsAtMs > PARTITIONS_EVERY_MS) {
      await partitions.keep(nowMs);
      this.partitionsAtMs = performance.now();
    }
    const cover = (ms: number) => partitions.cover(ms);
    while (!this.isStopped && (await rollUpNext(pool, nowMs, cover)));
    await pool.query(FORGET);
  }

  private schedule(inMs: number): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      this.working = this.run().catch((error: unknown) => {
        this.parts.log.warn(
          { err: error },
          'usage could not be rolled up; tried again in a minute',
        );
      });
      void this.working.then(() => this.schedule(EVERY_MS));
    }, inMs);
  }
}
