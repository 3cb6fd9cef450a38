const BEAT_MS = 20;
/** What a beat may be late by without the machine having stood still. */
const USUAL_MS = 30;
/** Longer ago than anything is asked about. */
const FORGET_MS = 60_000;

/** Notices when this process is not run for a while, as on a machine that stands still or is too busy with other things. */
export class Stalls {
  private readonly stalls: { fromMs: number; toMs: number }[] = [];
  private lastMs = 0;
  private beating: NodeJS.Timeout | undefined;

  /** From now on it notices; where it does already it goes on. */
  start(): void {
    if (this.beating !== undefined) return;
    this.lastMs = performance.now();
    this.beating = setInterval(() => this.beat(), BEAT_MS).unref();
  }

  stop(): void {
    clearInterval(this.beating);
    this.beating = undefined;
  }

  /** For how long of this time the process was not run, in milliseconds; both ends by `performance.now()`. */
  within(startedMs: number, endedMs: number): number {
    this.beat();
    return this.stalls.reduce(
      (sum, { fromMs, toMs }) =>
        sum + Math.max(0, Math.min(toMs, endedMs) - Math.max(fromMs, startedMs)),
      0,
    );
  }

  private beat(): void {
    const nowMs = performance.now();
    const dueMs = this.lastMs + BEAT_MS;
    if (nowMs > dueMs + USUAL_MS) this.stalls.push({ fromMs: dueMs, toMs: nowMs });
    this.lastMs = nowMs;
    while (this.stalls[0] !== undefined && this.stalls[0].toMs < nowMs - FORGET_MS)
      this.stalls.shift();
  }
}
