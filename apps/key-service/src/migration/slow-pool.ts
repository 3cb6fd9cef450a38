import { availableParallelism } from 'node:os';
import type { SlowQuestion } from '#key-core/legacy';
import { inTime } from './in-time.js';
import { restMsAfter } from './slow-rest.js';
import { SlowProcess, type SlowPriority } from './slow-process.js';

/** So many that the last one still has its answer within seconds. */
const MAX_WAITING = 16;
/** A processor is left to requests. */
const PROCESSES = Math.max(1, Math.min(2, availableParallelism() - 1));
/** How often it is looked whether a process that compares gets enough. */
const LOOK_EVERY_MS = 1_000;
/** How long no process is left to what others do not need, after one got too little. */
const LOW_FOR_MS = 60_000;
/** A process that had nothing to do for so long ends: where nothing is imported there is none. */
const IDLE_MS = 60_000;

interface Job {
  question: SlowQuestion;
  resolve: (matches: boolean) => void;
  reject: (error: unknown) => void;
}

/**
 * Compares salted hashes in processes of their own, one at a time each. They are started when they are needed and end when they
 * no longer are. They get what others leave of a processor; where that is next to nothing, a hash is begun anew with a small share
 * of its own, so that it is compared late rather than never.
 */
export class SlowPool {
  private readonly waiting: Job[] = [];
  private idle: SlowProcess[] = [];
  private readonly processes = new Set<SlowProcess>();
  private isClosed = false;
  private lowUntilMs = 0;

  constructor(private readonly most = PROCESSES) {}

  /** Whether one more would have to wait too long. */
  get isFull(): boolean {
    return this.waiting.length >= MAX_WAITING;
  }

  /** Of the processes that there are now. */
  get pids(): number[] {
    return [...this.processes].flatMap(({ isOver, pid }) => (isOver ? [] : (pid ?? [])));
  }

  /** @throws Error where a process ended over it or took too long, or the pool is closed or full */
  matches(question: SlowQuestion): Promise<boolean> {
    if (this.isClosed || this.isFull) return Promise.reject(new Error('No process is to be had'));
    return new Promise((resolve, reject) => {
      this.waiting.push({ question, resolve, reject });
      this.next();
    });
  }

  close(): void {
    this.isClosed = true;
    this.rejectAll(new Error('The service stops'));
    for (const process of this.processes) process.end();
  }

  private next(): void {
    if (this.isClosed || this.waiting.length === 0) return;
    const process = this.free();
    if (process !== null) void this.ask(process, this.waiting.shift()!);
  }

  private free(): SlowProcess | null {
    for (const process of this.idle) {
      if (process.priority !== this.priority) process.end();
      if (process.isOver) this.processes.delete(process);
    }
    this.idle = this.idle.filter((process) => !process.isOver);
    const idle = this.idle.pop();
    if (idle !== undefined) return idle;
    if (this.processes.size >= this.most) return null;
    return this.start();
  }

  /** Where the system has no room for a process, those who wait have to wait for another, or are told. */
  private start(): SlowProcess | null {
    try {
      const process = new SlowProcess(this.priority);
      this.processes.add(process);
      return process;
    } catch (cause) {
      if (this.processes.size === 0)
        this.rejectAll(new Error('No process is to be had', { cause }));
      return null;
    }
  }

  private rejectAll(error: Error): void {
    for (const job of this.waiting.splice(0)) job.reject(error);
  }

  /** Low where others needed every processor lately. */
  private get priority(): SlowPriority {
    return performance.now() < this.lowUntilMs ? 'low' : 'idle';
  }

  private async ask(process: SlowProcess, job: Job): Promise<void> {
    const begunMs = performance.now();
    const answer = process.matches(job.question);
    while (await isOpen(answer)) if (this.look(process)) return this.askAnew(process, job);
    await answer.then(job.resolve, job.reject);
    this.look(process);
    const tookMs = performance.now() - begunMs;
    const { isOver } = process;
    const restMs = restMsAfter(tookMs, { isRight: await isRight(answer), isOver });
    setTimeout(() => this.rested(process), restMs).unref();
  }

  /** Whether a process gets too little of a processor, and if so sees to it that the next ones have a share of their own. */
  private look(process: SlowProcess): boolean {
    const isStarved = process.priority === 'idle' && process.getsLittle();
    if (isStarved) this.lowUntilMs = performance.now() + LOW_FOR_MS;
    return isStarved;
  }

  /** Before those who wait, and in a process that has a share: a process cannot give itself a better priority. */
  private askAnew(process: SlowProcess, job: Job): void {
    process.end();
    this.processes.delete(process);
    if (this.isClosed) return job.reject(new Error('The service stops'));
    this.waiting.unshift(job);
    this.next();
  }

  private rested(process: SlowProcess): void {
    this.idle.push(process);
    if (!process.isOver) process.retireIn(IDLE_MS);
    this.next();
  }
}

function isRight(answer: Promise<boolean>): Promise<boolean> {
  return answer.catch(() => false);
}

/** Whether there is no answer yet, not even a failure, when it is time to look. */
function isOpen(answer: Promise<boolean>): Promise<boolean> {
  const settled = answer.then(
    () => false,
    () => false,
  );
  return inTime(settled, LOOK_EVERY_MS).catch(() => true);
}
