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
 * guards do not come back all at once. After the pause one question goes through as a probe; its success ends it.
 */
export class Breaker {
  private failures = 0;
  private pauses = 0;
  private openUntilMs = -Infinity;
  private isProbing = false;

  constructor(private readonly options: BreakerOptions) {}

  get isOpen(): boolean {
    return this.failures >= FAILURES;
  }

  /** Whether a question may be sent now. One that is sent must be told about: {@link succeed}, {@link fail} or {@link release}. */
  mayAsk(): boolean {
    if (!this.isOpen) return true;
    return !this.isProbing && this.options.nowMs() >= this.openUntilMs;
  }

  /** Says that a question is sent. */
  begin(): void {
    if (this.isOpen) this.isProbing = true;
  }

  succeed(): void {
    this.failures = 0;
    this.pauses = 0;
    this.isProbing = false;
  }

  /** It was not sent after all, or says nothing of the replica. */
  release(): void {
    this.isProbing = false;
  }

  fail(): void {
    const wasProbe = this.isProbing;
    this.isProbing = false;
    this.failures += 1;
    if (this.failures !== FAILURES && !wasProbe) return;
    const longestMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.pauses);
    this.pauses += 1;
    this.openUntilMs = this.options.nowMs() + longestMs * (0.5 + 0.5 * this.options.random());
  }
}
