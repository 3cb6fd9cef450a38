const MOST_SAVED = 3;
const EVERY_MS = 250;

/**
 * How often a replica may be asked whose pause is not over, because no other one answers: three times at once and four times a
 * second on the average, so that a key service which is down is not kept down by those who wait for it.
 */
export class LastResort {
  private saved = MOST_SAVED;
  private savedAtMs: number;

  /** @param nowMs monotonic clock in milliseconds */
  constructor(private readonly nowMs: () => number) {
    this.savedAtMs = nowMs();
  }

  /** Whether one may be asked now; it is counted then. */
  take(): boolean {
    const nowMs = this.nowMs();
    this.saved = Math.min(MOST_SAVED, this.saved + (nowMs - this.savedAtMs) / EVERY_MS);
    this.savedAtMs = nowMs;
    if (this.saved < 1) return false;
    this.saved -= 1;
    return true;
  }
}
