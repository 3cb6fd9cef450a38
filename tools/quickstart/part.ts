import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process of the platform. */
export interface Part {
  name: string;
  pid: number;
  /** Says how it ended: `exit code 1`, `killed by SIGKILL`. Never rejects. */
  exited: Promise<string>;
  /** The last of what it printed, for the one who has to find out why it ended. */
  lastLines: () => string[];
  /** Ends it; resolves when it is gone. */
  stop: () => Promise<void>;
}

/** How to end a process: asked first, then made to. */
export interface StopRules {
  signal: NodeJS.Signals;
  /** How long it may take before `force` is sent. */
  patienceMs: number;
  force: NodeJS.Signals;
}

/** A child process as a part. */
export function partOf(
  child: ChildProcess,
  name: string,
  rules: StopRules,
  lastLines: () => string[],
): Part {
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exit code ${code}` : `killed by ${signal}`),
    );
  });
  const stop = async (): Promise<void> => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(rules.signal);
    const timer = setTimeout(() => child.kill(rules.force), rules.patienceMs);
    await exited;
    clearTimeout(timer);
  };
  return { name, pid: child.pid ?? 0, exited, lastLines, stop };
}

/**
 * Waits until a part is up.
 *
 * @param isUp asked every 20 ms
 * @throws Error with the part's last lines when it ends or takes too long; it is stopped by then
 */
export async function untilUp(
  part: Part,
  isUp: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  const until = Date.now() + timeoutMs;
  let ended: string | undefined;
  while (ended === undefined && Date.now() < until) {
    if (await isUp()) return;
    ended = await Promise.race([part.exited, sleep(20, undefined)]);
  }
  await part.stop();
  const why = ended ?? `not up after ${timeoutMs / 1000} s`;
  throw new Error([`${part.name} did not start (${why}):`, ...part.lastLines()].join('\n  '));
}

/** A part that ended, and how. */
export interface Ended {
  part: Part;
  how: string;
}

/** How a part ended that nobody stopped, with the last that it said, for people. */
export function toldOf({ part, how }: Ended): string {
  const lines = part.lastLines().filter((line) => line !== '');
  const end = `${part.name} ended unexpectedly (${how})`;
  if (lines.length === 0) return `${end}; it had said nothing`;
  return [`${end}. The last it said:`, ...lines].join('\n  ');
}

/** The parts of a platform that run, in the order in which they were started. */
export interface Parts {
  /** Adds parts that belong to one step: they are stopped together, before those of the steps before. */
  add: (...parts: Part[]) => void;
  /** Adds a part that may end by itself, and waits for that. */
  waitFor: (part: Part) => Promise<string>;
  /** Resolves with the first part that ends although nobody stopped it. */
  ended: Promise<Ended>;
  stopAll: () => Promise<void>;
}

/** No parts yet. */
export function createParts(): Parts {
  const steps: Part[][] = [];
  let stopping = false;
  let tell: (ended: Ended) => void;
  const ended = new Promise<Ended>((resolve) => {
    tell = resolve;
  });
  const watch = async (part: Part): Promise<void> => {
    const how = await part.exited;
    if (!stopping) tell({ part, how });
  };
  const hold = (parts: Part[]): void => {
    steps.push(parts);
    if (stopping) for (const part of parts) void part.stop();
  };
  return {
    ended,
    add: (...parts) => {
      hold(parts);
      for (const part of parts) void watch(part);
    },
    waitFor: (part) => {
      hold([part]);
      return part.exited;
    },
    stopAll: async () => {
      stopping = true;
      for (const step of steps.toReversed()) await Promise.all(step.map((part) => part.stop()));
    },
  };
}
