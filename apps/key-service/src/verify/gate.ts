/** Begins now or when it is its turn; calls `leave` once, when it has ended. */
type Work = (leave: () => void) => void;

/** Lets a number of works run at once; the others wait in line. */
export class Gate {
  private readonly line: Work[] = [];

  /** @param free how many may run */
  constructor(private free: number) {}

  /** For work that does not throw. */
  enter(work: Work): void {
    if (this.free > 0) {
      this.free -= 1;
      work(this.leave);
    } else {
      this.line.push(work);
    }
  }

  pass<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.enter((leave) => void (async () => work())().finally(leave).then(resolve, reject));
    });
  }

  /** The next begins in a microtask: works that end at once do not pile up on the stack. */
  private readonly leave = (): void => {
    const next = this.line.shift();
    if (next === undefined) this.free += 1;
    else queueMicrotask(() => next(this.leave));
  };
}
