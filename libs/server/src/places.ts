const MAX_WAITING = 200;

/** So many works may be under way at once; the others wait in line, and may leave it. */
export class Places {
  private readonly line = new Set<() => void>();

  /** @param free how many may be under way */
  constructor(private free: number) {}

  /** Whether one more would only wait in vain. */
  get isFull(): boolean {
    return this.free === 0 && this.line.size >= MAX_WAITING;
  }

  /**
   * Calls `start` when there is a place, at once where there is one now: whoever was started gives it back.
   *
   * @returns what leaves the line; does nothing to one that was started
   */
  take(start: () => void): () => void {
    if (this.free > 0) {
      this.free -= 1;
      start();
      return () => undefined;
    }
    // one of its own, as `start` may be in line twice
    const waiting = () => start();
    this.line.add(waiting);
    return () => void this.line.delete(waiting);
  }

  giveBack(): void {
    const [next] = this.line;
    if (next === undefined) {
      this.free += 1;
      return;
    }
    this.line.delete(next);
    next();
  }
}
