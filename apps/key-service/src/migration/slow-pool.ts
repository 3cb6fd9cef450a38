import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { SlowQuestion } from '#key-core/legacy';

/** So many that the last one still has its answer within seconds. */
const MAX_WAITING = 16;
/** A processor is left to requests. */
const THREADS = Math.max(1, Math.min(2, availableParallelism() - 1));
/** A thread rests for as long as a hash took, so that it never has more than half of a processor. */
const REST = 1;

interface Job {
  question: SlowQuestion;
  resolve: (matches: boolean) => void;
  reject: (error: unknown) => void;
}

/**
 * Compares salted hashes in threads of their own, of low priority, one at a time each. They are started when they are first
 * needed.
 */
export class SlowPool {
  private readonly waiting: Job[] = [];
  private readonly idle: Worker[] = [];
  private readonly workers = new Set<Worker>();
  private isClosed = false;

  /** Whether one more would have to wait too long. */
  get isFull(): boolean {
    return this.waiting.length >= MAX_WAITING;
  }

  /** @throws Error where a thread died over it, or the pool is closed or full */
  matches(question: SlowQuestion): Promise<boolean> {
    if (this.isClosed || this.isFull) return Promise.reject(new Error('No thread is to be had'));
    return new Promise((resolve, reject) => {
      this.waiting.push({ question, resolve, reject });
      this.next();
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const job of this.waiting.splice(0)) job.reject(new Error('The service stops'));
    await Promise.all([...this.workers].map((worker) => worker.terminate()));
  }

  private next(): void {
    if (this.isClosed || this.waiting.length === 0) return;
    const worker = this.idle.pop() ?? (this.workers.size < THREADS ? this.start() : null);
    if (worker !== null) this.ask(worker, this.waiting.shift()!);
  }

  private ask(worker: Worker, job: Job): void {
    const begunMs = performance.now();
    const onMessage = (matches: boolean): void => {
      worker.off('error', onError).off('exit', onExit);
      job.resolve(matches);
      const restMs = (performance.now() - begunMs) * REST;
      setTimeout(() => this.rested(worker), restMs).unref();
    };
    const onError = (error: unknown): void => {
      worker.off('message', onMessage);
      this.workers.delete(worker);
      job.reject(error);
      this.next();
    };
    const onExit = (): void => onError(new Error('The thread has ended'));
    worker.once('message', onMessage).once('error', onError).once('exit', onExit);
    worker.postMessage(job.question);
  }

  private rested(worker: Worker): void {
    if (!this.workers.has(worker)) return;
    this.idle.push(worker);
    this.next();
  }

  private start(): Worker {
    const worker = new Worker(new URL('./slow-hash.worker.js', import.meta.url));
    worker.unref();
    this.workers.add(worker);
    return worker;
  }
}
