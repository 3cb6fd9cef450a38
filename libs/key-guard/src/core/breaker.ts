/** What a breaker goes by. */
export interface BreakerOptions {
  /** Monotonic clock in milliseconds. */
  nowMs: () => number;
  /** From 0 up to 1. */
  random: () => number;
}

const FAILURES = 5;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Stops asking one replica after five failures in a row: for a pause that doubles, with full jitter above its half, so that
 * guards do not come back all at once. After the pause one question goes through as a probe; its success ends it. A probe
 * before then, as a last resort, ends it as well, and leaves it as it is where it fails.
 */
export class Breaker {
  private failures = 0;
  private pauses = 0;
  private openUntilMs = -Infinity;
  private probes = 0;

  constructor(private readonly options: BreakerOptions) {}

  /** When the pause ends or ended, by the same clock. */
  get pauseEndsAtMs(): number {
    return this.openUntilMs;
  }

  get isOpen(): boolean {
    return this.failures >= FAILURES;
  }

  /** Whether a question may be sent now. One that is sent must be told about: {@link succeed}, {@link fail} or {@link release}. */
  mayAsk(): boolean {
    if (!this.isOpen) return true;
    return this.probes === 0 && this.options.nowMs() >= this.openUntilMs;
  }

  /** Says that a question is sent. */
  begin(): void {
    if (this.isOpen) this.probes += 1;
  }

  succeed(): void {
    this.failures = 0;
    this.pauses = 0;
    this.probes = 0;
  }

  /** It was not sent after all, or says nothing of the replica. */
  release(): void {
    this.probes = Math.max(0, this.probes - 1);
  }

  fail(): void {
    const nowMs = this.options.nowMs();
    const wasDue = this.probes > 0 && nowMs >= this.openUntilMs;
    this.release();
    this.failures += 1;
    if (this.failures !== FAILURES && !wasDue) return;
    const longestMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.pauses);
    this.pauses += 1;
    this.openUntilMs = nowMs + longestMs * (0.5 + 0.5 * this.options.random());
  }
}
