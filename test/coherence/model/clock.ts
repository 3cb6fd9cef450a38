import { randomOf } from '../support/random-run.js';

/** Something that happens at its time. */
interface Step {
  atMs: number;
  /** Decides between those of one moment. */
  order: number;
  go: () => void;
}

/** Time that only passes from one step to the next, and all the chance of a run, decided by a seed. */
export class Clock {
  readonly random: () => number;
  private readonly steps: Step[] = [];
  private nowMs = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
  }

  get now(): number {
    return this.nowMs;
  }

  /** A whole number from 0 up to but not including `count`. */
  pick(count: number): number {
    return Math.floor(this.random() * count);
  }

  after(ms: number, go: () => void): void {
    this.steps.push({ atMs: this.nowMs + ms, order: this.random(), go });
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** How long a message is on its way: usually not long, at times very. */
  hop(): Promise<void> {
    return this.wait(this.random() < 0.06 ? this.pick(120) : 1 + this.pick(6));
  }

  /** Takes one step after the other, each when all that came of the one before has been done, until then or until it is over. */
  async run(untilMs: number, isOver: () => boolean): Promise<void> {
    while (this.steps.length > 0 && this.nowMs < untilMs && !isOver()) {
      const step = this.takeNext();
      this.nowMs = step.atMs;
      step.go();
      await settled();
    }
  }

  private takeNext(): Step {
    let next = 0;
    for (let i = 1; i < this.steps.length; i += 1)
      if (isBefore(this.steps[i]!, this.steps[next]!)) next = i;
    const step = this.steps[next]!;
    this.steps[next] = this.steps.at(-1)!;
    this.steps.pop();
    return step;
  }
}

function isBefore(a: Step, b: Step): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** All promises that could go on have gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
