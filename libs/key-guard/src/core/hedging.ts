const KEPT = 100;
const ENOUGH = 20;
const SHARE = 0.1;
const MOST_SAVED = 10;
const LEAST_WAIT_MS = 10;

/**
 * When a question is asked a second time before the first is answered: when it takes longer than 95 of 100 did, and only so
 * that second questions are at most a tenth of all. A key service that is slow for everybody is not asked twice as much. Only
 * questions that take nothing of a limit are asked twice at all, see `free-keys.ts`.
 */
export class Hedging {
  private readonly latencies: number[] = [];
  private place = 0;
  private saved = 1;
  private waitMs: number;

  constructor(private readonly timeoutMs: number) {
    this.waitMs = timeoutMs / 2;
  }

  /** How long to wait for the first answer, in milliseconds. */
  get afterMs(): number {
    return this.waitMs;
  }

  /** A question is asked. */
  noteQuestion(): void {
    this.saved = Math.min(MOST_SAVED, this.saved + SHARE);
  }

  /** A question was answered. */
  noteAnswer(tookMs: number): void {
    this.latencies[this.place] = tookMs;
    this.place = (this.place + 1) % KEPT;
    if (this.place % ENOUGH !== 0) return;
    const sorted = this.latencies.toSorted((a, b) => a - b);
    const p95 = sorted[Math.ceil(sorted.length * 0.95) - 1]!;
    this.waitMs = Math.min(this.timeoutMs, Math.max(LEAST_WAIT_MS, p95));
  }

  /** Whether one more may be asked a second time; it is counted then. */
  take(): boolean {
    if (this.saved < 1) return false;
    this.saved -= 1;
    return true;
  }
}
