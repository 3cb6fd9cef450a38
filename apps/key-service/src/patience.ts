const TICK_MS = 10;

/** No answer came in time. */
export class OutOfPatience extends Error {
  constructor() {
    super('Command timed out');
  }
}

/** One who waits, in a ring of all that do, so that who goes leaves nothing behind: a set that is old makes its tables anew among what is old. */
class Wait {
  next: Wait = this;
  before: Wait = this;

  constructor(
    public ticksLeft: number,
    readonly giveUp: () => void,
  ) {}

  get isAlone(): boolean {
    return this.next === this;
  }

  /** Before this one: last, where this is the ring's own. */
  add(wait: Wait): void {
    wait.next = this;
    wait.before = this.before;
    this.before.next = wait;
    this.before = wait;
  }

  /** Once or again. */
  leave(): void {
    this.before.next = this.next;
    this.next.before = this.before;
    this.next = this;
    this.before = this;
  }
}

/**
 * Waits for answers only so long, counted in turns of this process's own event loop and not by the clock: while the process
 * itself is busy and reads no answers, no time passes. One timer serves all that wait.
 */
export class Patience {
  private readonly waits = new Wait(0, () => undefined);
  private readonly ticks: number;
  private timer: NodeJS.Timeout | undefined;

  /** @param limitMs at least this long, rounded up to 10 ms */
  constructor(limitMs: number) {
    this.ticks = Math.ceil(limitMs / TICK_MS);
  }

  /** @throws what `answer` rejects with, or OutOfPatience */
  for<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const giveUp = () => reject(new OutOfPatience());
      const wait = new Wait(this.ticks + 1, giveUp);
      this.waits.add(wait);
      this.timer ??= setInterval(() => this.tick(), TICK_MS).unref();
      const forget = () => wait.leave();
      answer.then(resolve, reject);
      answer.then(forget, forget);
    });
  }

  private tick(): void {
    if (this.waits.isAlone) {
      clearInterval(this.timer);
      this.timer = undefined;
    }
    for (let wait = this.waits.next; wait !== this.waits;) {
      const { next } = wait;
      wait.ticksLeft -= 1;
      if (wait.ticksLeft <= 0) {
        wait.leave();
        wait.giveUp();
      }
      wait = next;
    }
  }
}
