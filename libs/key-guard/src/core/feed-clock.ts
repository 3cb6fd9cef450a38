/**
 * The key service's clock as seen from here. `hello` tells its time, stamped after the request was sent and before it came:
 * so what the service says happened at `at` happened here no earlier than reckoned from the sending, and that is what is
 * gone by. By the monotonic clock of this process, whatever either's calendar does.
 */
export class FeedClock {
  private originMs: number | null = null;

  /** @param sentAtMs when the request was sent, by `performance.now()`. @param theirsMs what hello said, since 1970 */
  hello(sentAtMs: number, theirsMs: number): void {
    this.originMs = theirsMs - sentAtMs;
  }

  /** Whether it was told: the key service takes no counts of minutes that it is not in. */
  get isTold(): boolean {
    return this.originMs !== null;
  }

  /** When it was `theirsMs` there, by the clock here: the earliest that it can have been, and never later than now. */
  ownOf(theirsMs: number, nowMs: number): number {
    return this.originMs === null ? -Infinity : Math.min(theirsMs - this.originMs, nowMs);
  }

  /** Time there, in milliseconds since 1970; the own calendar's until it was told. */
  theirsAt(nowMs: number): number {
    return this.originMs === null ? Date.now() : this.originMs + nowMs;
  }
}
