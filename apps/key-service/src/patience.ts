const TICK_MS = 10;

interface Wait {
  ticksLeft: number;
  giveUp: () => void;
}

/**
 * Waits for answers only so long, counted in turns of this process's own event loop and not by the clock: while the process
 * itself is busy and reads no answers, no time passes. One timer serves all that wait.
 */
export class Patience {
  private readonly waits = new Set<Wait>();
  private readonly ticks: number;
  private timer: NodeJS.Timeout | undefined;

  /** @param limitMs at least this long, rounded up to 10 ms */
  constructor(limitMs: number) {
    this.ticks = Math.ceil(limitMs / TICK_MS);
  }

  /** @throws what `answer` rejects with, or Error `Command timed out` */
  for<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = () => reject(new Error('Command timed out'));
      const wait = { ticksLeft: this.ticks + 1, giveUp };
      this.waits.add(wait);
      this.timer ??= setInterval(() => this.tick(), TICK_MS).unref();
      const forget = () => this.waits.delete(wait);
      answer.then(resolve, reject);
      answer.then(forget, forget);
    });
  }

  private tick(): void {
    if (this.waits.size === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
    }
    for (const wait of this.waits) {
      wait.ticksLeft -= 1;
      if (wait.ticksLeft > 0) continue;
      this.waits.delete(wait);
      wait.giveUp();
    }
  }
}
