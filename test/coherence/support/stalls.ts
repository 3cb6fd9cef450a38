const BEAT_MS = 20;
/** What a beat may be late by without the machine having stood still. */
const USUAL_MS = 30;
/** Longer ago than anything is asked about. */
const FORGET_MS = 60_000;

/** Notices when this process is not run for a while, as on a machine that stands still or is too busy with other things. */
export class Stalls {
  private readonly stalls: { fromMs: number; toMs: number; heldMs: number }[] = [];
  private lastMs = 0;
  private lastWorkMs = 0;
  private beating: NodeJS.Timeout | undefined;

  /** From now on it notices; where it does already it goes on. */
  start(): void {
    if (this.beating !== undefined) return;
    this.lastMs = performance.now();
    this.lastWorkMs = workMs();
    this.beating = setInterval(() => this.beat(), BEAT_MS).unref();
  }

  stop(): void {
    clearInterval(this.beating);
    this.beating = undefined;
  }

  /** For how long of this time the process was not run, in milliseconds; both ends by `performance.now()`. */
  within(startedMs: number, endedMs: number): number {
    this.beat();
    return this.stalls.reduce((sum, { fromMs, toMs, heldMs }) => {
      const bothMs = Math.max(0, Math.min(toMs, endedMs) - Math.max(fromMs, startedMs));
      return sum + (bothMs / (toMs - fromMs)) * heldMs;
    }, 0);
  }

  private beat(): void {
    const nowMs = performance.now();
    const nowWorkMs = workMs();
    const dueMs = this.lastMs + BEAT_MS;
    // a beat that is late for the process's own work was not held up
    const heldMs = nowMs - dueMs - (nowWorkMs - this.lastWorkMs);
    if (heldMs > USUAL_MS) this.stalls.push({ fromMs: dueMs, toMs: nowMs, heldMs });
    [this.lastMs, this.lastWorkMs] = [nowMs, nowWorkMs];
    while (this.stalls[0] !== undefined && this.stalls[0].toMs < nowMs - FORGET_MS)
      this.stalls.shift();
  }
}

/** What this process has worked so far, on any processor, in milliseconds. */
function workMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
