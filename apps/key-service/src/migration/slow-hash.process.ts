import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';
import { matchesSlowHash, type SlowQuestion } from '#key-core/legacy';
import type { SlowPriority } from './slow-process.js';

/** What the process says of a question; null where it could not be computed. */
export interface SlowAnswer {
  matches: boolean | null;
}

/** A tenth of what others get of a processor: less, and a good key would wait for ever where all are busy. */
const NICE = constants.priority.PRIORITY_BELOW_NORMAL;

/**
 * Linux lets a thread that has just begun run for up to 4 ms before anybody else, whatever its nice value, unless it is of the class
 * `SCHED_IDLE`. Node cannot choose a class, hence by a program of util-linux, without which nice has to do.
 */
const CHRT = '/usr/bin/chrt';
const CHRT_WITHIN_MS = 2_000;

/** Each thread there is, from which those that argon2 and libuv make from now on have it; 0 is the one that asks. */
function threads(): number[] {
  try {
    return readdirSync('/proc/self/task').map(Number);
  } catch {
    return [0];
  }
}

for (const thread of threads())
  try {
    setPriority(thread, Math.max(NICE, getPriority(thread)));
  } catch {
    // it has ended meanwhile
  }

const priority = process.argv[2] as SlowPriority;
if (priority === 'idle')
  spawnSync(CHRT, ['--idle', '--all-tasks', '--pid', '0', String(process.pid)], {
    timeout: CHRT_WITHIN_MS,
    killSignal: 'SIGKILL',
  });

// who started it ends it, and so does its death; a signal for both would only cost an answer
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());

process.on('message', (question: SlowQuestion) => {
  const tell = (matches: SlowAnswer['matches']) => void process.send?.({ matches });
  matchesSlowHash(question).then(tell, () => tell(null));
});
process.send?.('up');
