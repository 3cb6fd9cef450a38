import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { SlowQuestion } from '#key-core/legacy';
import { ProcessorShare } from './processor-share.js';
import type { SlowAnswer } from './slow-hash.process.js';

const ENTRY = fileURLToPath(new URL('./slow-hash.process.js', import.meta.url));
/**
 * The dearest hash that is taken needs some seconds of a processor, and may get no more than a tenth of one where all are busy. Who
 * asks does not wait so long: it is for a process that is stuck.
 */
const ANSWER_WITHIN_MS = 180_000;
/** It holds one question, and argon2's memory is not in its heap. */
const HEAP = ['--max-old-space-size=64', '--max-semi-space-size=1'];

/**
 * For glibc, see mallopt(3): the memory of one argon2id is used for the next one. To be given back and taken anew for each is work of
 * the kernel's, which gives way to nobody, whatever the class of the thread. Larger memory than 32 MiB is not kept: that is the most that
 * glibc takes for the threshold. One arena, as argon2 runs in other threads, each of which would keep memory of its own.
 */
const KEEP_MEMORY = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: String(32 * 1_024 ** 2),
  MALLOC_TRIM_THRESHOLD_: String(256 * 1_024 ** 2),
};

/** `idle`: runs in what others leave of a processor, and gives way to them at once. `low`: has a little however busy all are. */
export type SlowPriority = 'idle' | 'low';

/**
 * A process that compares salted hashes, one at a time, at a low priority: bcrypt in its own thread, argon2 in others, and
 * none of them in one of ours. It knows nothing but the question, and ends when this process does, however that ends.
 */
export class SlowProcess {
  /** Once it has ended, by itself or not. */
  isOver = false;
  private readonly child: ChildProcess;
  private readonly up: Promise<unknown>;
  private fail: (error: Error) => void = () => undefined;
  private retiring: NodeJS.Timeout | undefined;
  private readonly share: ProcessorShare;

  constructor(readonly priority: SlowPriority) {
    this.child = fork(ENTRY, [priority], {
      execArgv: HEAP,
      env: KEEP_MEMORY,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.share = new ProcessorShare(this.child.pid);
    this.child.unref();
    this.child.channel?.unref();
    this.up = new Promise((resolve) => this.child.once('message', resolve));
    const onEnd = (): void => this.ended();
    this.child.on('exit', onEnd).on('error', onEnd);
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** @throws Error where it ended over it, could not compute it, or is stuck, which ends it */
  async matches(question: SlowQuestion): Promise<boolean> {
    clearTimeout(this.retiring);
    this.share.begin();
    const failed = new Promise<never>((_, reject) => (this.fail = reject));
    const timer = setTimeout(() => this.end(), ANSWER_WITHIN_MS).unref();
    try {
      if (this.isOver) throw new Error('The process that compares hashes has ended');
      await Promise.race([this.up, failed]);
      const answered = this.answer();
      this.child.send(question);
      const { matches } = await Promise.race([answered, failed]);
      if (matches === null) throw new Error('A hash could not be computed');
      return matches;
    } finally {
      clearTimeout(timer);
      this.fail = () => undefined;
    }
  }

  /** Whether others left it too little of a processor, over a second of work at least. */
  getsLittle(): boolean {
    return !this.isOver && this.share.isLittle();
  }

  /** Ends it, unless it is asked before. */
  retireIn(ms: number): void {
    this.retiring = setTimeout(() => this.end(), ms).unref();
  }

  /** Who waits for an answer is told now, not when it is dead. */
  end(): void {
    clearTimeout(this.retiring);
    this.child.kill('SIGKILL');
    this.ended();
  }

  private ended(): void {
    this.isOver = true;
    this.fail(new Error('The process that compares hashes has ended'));
  }

  private answer(): Promise<SlowAnswer> {
    return new Promise((resolve) =>
      this.child.once('message', (told) => resolve(told as SlowAnswer)),
    );
  }
}
