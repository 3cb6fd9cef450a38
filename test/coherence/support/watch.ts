import type { Verdict } from '#contracts';
import type { Answer } from './http.js';
import { codeOf, sleep } from './world.js';

/** What must hold all the time, faults or not. */
export interface Watch {
  /** Answers so far, by what they were. */
  counts: Record<string, number>;
  /** Answers that must not be, in words; empty where all is well. */
  violations: string[];
  /** Ends it; resolves when the last question has been answered. */
  stop: () => Promise<void>;
}

/** A key that is asked about, and what may be answered. */
export interface Watched {
  name: string;
  ask: (replica: number) => Promise<Answer<Verdict>>;
  /** Codes and statuses that are right for a question sent at this time. */
  mayBe: (startedMs: number) => readonly (string | number)[];
}

/** Longest that any request may take. */
const LONGEST_MS = 2_000;
/** A machine that is busy with other things may be late by this; nothing that hangs is. */
const SLACK_MS = 1_000;

/** Asks again and again, one question at a time for each replica and key, until it is stopped. */
export function watch(replicas: number, watched: readonly Watched[], pauseMs = 5): Watch {
  const state: Watch = { counts: {}, violations: [], stop: async () => undefined };
  const asking = { isStopped: false };
  const loop = async (replica: number, { name, ask, mayBe }: Watched): Promise<void> => {
    while (!asking.isStopped) {
      const answer = await ask(replica);
      const code = codeOf(answer);
      state.counts[`${name} ${code}`] = (state.counts[`${name} ${code}`] ?? 0) + 1;
      const { tookMs } = answer;
      if (tookMs > LONGEST_MS + SLACK_MS)
        state.violations.push(`${name}: ${code} by ${replica} took ${Math.round(tookMs)} ms`);
      if (!mayBe(answer.startedMs).includes(code))
        state.violations.push(`${name}: ${code} by ${replica} at ${Math.round(answer.startedMs)}`);
      if (code === 503 && answer.headers['retry-after'] === undefined)
        state.violations.push(`${name}: a 503 by ${replica} without Retry-After`);
      await sleep(pauseMs);
    }
  };
  const loops = watched.flatMap((one) =>
    Array.from({ length: replicas }, (_, replica) => loop(replica, one)),
  );
  state.stop = async () => {
    asking.isStopped = true;
    await Promise.all(loops);
  };
  return state;
}
