import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { Verdict } from '#contracts';
import type { Fold } from './fold.js';
import { writeBatch, type Batch } from './journal.js';
import { UsageBuffer, type Counted, type UsageCount } from './usage-buffer.js';

/** What usage works with. */
export interface UsageParts {
  pool: Pool;
  fold: Pick<Fold, 'run'>;
  log: Logger;
  /** Milliseconds since 1970. */
  now: () => number;
}

const FLUSH_EVERY_MS = 1_000;
/** However slow PostgreSQL is, it is left alone for so long. */
const LEAST_REST_MS = 250;
/** How often a process that counts nothing says so. */
const QUIET_MS = 15_000;
const MAX_ROWS = 5_000;
const STOP_WITHIN_MS = 8_000;

/**
 * Counts verifications in the process and writes the counts every second into a journal, so that no verification waits for it;
 * when it is this process's turn, it empties the journal of all. While PostgreSQL does not answer they are kept, within the
 * bounds of {@link UsageBuffer}; a batch whose answer was lost is sent again under its number and counted once. A process that is stopped loses none, one that is killed its last second.
 */
export class Usage {
  private readonly writer = randomUUID();
  private readonly buffer = new UsageBuffer();
  /** Cut from the buffer and perhaps written already. */
  private batch: Batch | null = null;
  private batches = 0;
  /** Everything that was counted before this is written, by `performance.now()`. */
  private writtenAtMs = performance.now();
  private reportedLost = 0;
  private isAway = false;
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> = Promise.resolve();
  private folding: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(private readonly parts: UsageParts) {}

  /** Counts a verdict, unless it was only asked for to look: a few assignments, no promise. */
  count({ service, isDry }: { service: string; isDry: boolean }, verdict: Verdict): void {
    if (isDry) return;
    const { keyId = '', secretNumber = 0, code, rotation } = verdict;
    this.add({ keyId, secretNumber, superseded: rotation !== undefined, service, code });
  }

  /** Counts what was prepared beforehand. */
  add(what: Counted): void {
    this.buffer.count(what, this.parts.now());
  }

  /** Begins to write every second. */
  async start(): Promise<void> {
    await this.tryFlush();
    this.schedule();
  }

  /** Writes all that was counted up to now. Calls at the same time follow one another. @throws where PostgreSQL does not answer */
  flush(): Promise<void> {
    const flushed = this.flushing.then(() => this.writeAll());
    this.flushing = flushed.catch(() => undefined);
    return flushed;
  }

  /** Empties the journal of what all processes have written into it. @throws where PostgreSQL does not answer */
  fold(): Promise<void> {
    const folded = this.folding.then(() => this.parts.fold.run());
    this.folding = folded.catch(() => undefined);
    return folded;
  }

  /**
   * Writes what is left, takes leave and folds, for eight seconds at most in all, whatever a statement may take: another process can
   * fold the rest.
   */
  async stop(withinMs = STOP_WITHIN_MS): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    const ending = new AbortController();
    const { signal } = ending;
    const end = delay(withinMs, undefined, { ref: false }).then(() => ending.abort());
    await Promise.race([this.writeRest(signal), end]);
    const left = this.buffer.total() + totalOf(this.batch?.counts ?? []);
    if (left > 0)
      this.parts.log.error({ left }, 'stopped with counts of usage that could not be written');
  }

  private async writeRest(signal: AbortSignal): Promise<void> {
    while (!(await this.tryFlush()) || !this.buffer.isEmpty) {
      if (signal.aborted) return;
      await delay(200);
    }
    await this.leave().catch((error: unknown) => {
      this.parts.log.debug({ err: error }, 'usage could not take leave');
    });
    await this.tryFold();
  }

  /** From one beginning to the next it is a second: what writing takes is not lost besides. */
  private schedule(restMs = FLUSH_EVERY_MS): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => {
      const dueMs = performance.now() + FLUSH_EVERY_MS;
      const rest = () => Math.max(LEAST_REST_MS, dueMs - performance.now());
      void this.tryFlush().then(() => this.schedule(rest()));
    }, restMs);
  }

  private async tryFlush(): Promise<boolean> {
    this.reportLost();
    try {
      await this.flush();
      if (this.isAway) this.parts.log.info('counts of usage are written again');
      this.isAway = false;
      return true;
    } catch (error) {
      if (!this.isAway)
        this.parts.log.warn({ err: error }, 'counts of usage are kept for later: not written');
      this.isAway = true;
      return false;
    }
  }

  private async tryFold(): Promise<void> {
    await this.fold().catch((error: unknown) => {
      this.parts.log.warn({ err: error }, 'the journal of usage could not be folded; tried again');
    });
  }

  private async writeAll(): Promise<void> {
    const beganMs = performance.now();
    const isDue = this.batches === 0 || performance.now() - this.writtenAtMs > QUIET_MS;
    if (this.batch === null && (isDue || !this.buffer.isEmpty)) this.cut();
    while (this.batch !== null) {
      const isTurn = await writeBatch(this.parts.pool, this.writer, this.batch);
      this.writtenAtMs = this.batch.toMs;
      this.batch = null;
      // aside: what is counted meanwhile is to be written in time
      if (isTurn) void this.tryFold();
      // what is counted from now on waits for the next second: without that each verification would become a row under load
      if (this.writtenAtMs < beganMs && !this.buffer.isEmpty) this.cut();
    }
  }

  private cut(): void {
    const cutAtMs = performance.now();
    const counts = this.buffer.take(MAX_ROWS);
    this.batches += 1;
    const toMs = this.buffer.isEmpty ? cutAtMs : this.writtenAtMs;
    this.batch = { number: this.batches, counts, toMs };
  }

  private reportLost(): void {
    const { lost } = this.buffer;
    if (lost > this.reportedLost)
      this.parts.log.error({ lost }, 'usage has more keys at once than can be counted here');
    this.reportedLost = lost;
  }

  private async leave(): Promise<void> {
    await this.parts.pool.query('DELETE FROM keys.usage_writer WHERE id = $1', [this.writer]);
  }
}

function totalOf(counts: readonly UsageCount[]): number {
  return counts.reduce((sum, one) => sum + one.count, 0);
}
