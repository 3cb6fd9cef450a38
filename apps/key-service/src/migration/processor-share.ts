import { readFileSync } from 'node:fs';

/** Over less, what a process got is luck. */
const KNOWN_AFTER_MS = 1_000;
/** Half of what a process of nice 10 gets where every processor is busy. */
const LITTLE = 0.05;
/** `SCHED_IDLE`, as Linux tells it. */
const IDLE_CLASS = 5;
/** Linux tells times in hundredths of a second. */
const MS_PER_TICK = 10;

/**
 * How much a process gets of a processor while it has work to do, if it is in the class `SCHED_IDLE`: of any other, and where there
 * is no Linux, it is taken to be enough.
 */
export class ProcessorShare {
  private seen = { atMs: 0, gotMs: 0 };
  private workMs = 0;
  private gotMs = 0;

  constructor(private readonly pid: number | undefined) {}

  /** From now on it has work to do. */
  begin(nowMs = performance.now()): void {
    this.seen = { atMs: nowMs, gotMs: this.read().gotMs };
  }

  /** Whether it was little, over a second of work at least. To be asked while there is work, and right after it. */
  isLittle(nowMs = performance.now()): boolean {
    const { gotMs, isIdle } = this.read();
    this.workMs += nowMs - this.seen.atMs;
    this.gotMs += gotMs - this.seen.gotMs;
    this.seen = { atMs: nowMs, gotMs };
    if (this.workMs < KNOWN_AFTER_MS) return false;
    const isLittle = isIdle && this.gotMs < this.workMs * LITTLE;
    this.workMs = 0;
    this.gotMs = 0;
    return isLittle;
  }

  /** Of all its threads; see proc_pid_stat(5), whose fields 14, 15 and 41 these are. */
  private read(): { gotMs: number; isIdle: boolean } {
    try {
      const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8');
      const fields = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number);
      const ticks = fields[11]! + fields[12]!;
      return { gotMs: ticks * MS_PER_TICK, isIdle: fields[38] === IDLE_CLASS };
    } catch {
      return { gotMs: 0, isIdle: false };
    }
  }
}
