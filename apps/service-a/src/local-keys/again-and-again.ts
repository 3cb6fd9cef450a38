import { setTimeout as sleep } from 'node:timers/promises';

/** Work that is done over and over, one at a time. */
export interface Repetition {
  /** Resolves when what is under way is done; nothing is begun any more. */
  stop(): Promise<void>;
}

/** Begins `work`, which does not reject, anew `pauseMs` after it has ended; keeps no process alive. */
export function againAndAgain(work: () => Promise<void>, pauseMs: number): Repetition {
  const stopping = new AbortController();
  const { signal } = stopping;
  const run = async (): Promise<void> => {
    for (;;) {
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      await work();
    }
  };
  const ended = run();
  return {
    stop: () => {
      stopping.abort();
      return ended;
    },
  };
}
