import { readdirSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';
import { matchesSlowHash, type SlowQuestion } from '#key-core/legacy';

/** What the process says of a question; null where it could not be computed. */
export interface SlowAnswer {
  matches: boolean | null;
}

/** A tenth of what others get of a processor: less, and a good key would wait for ever where all are busy. */
const NICE = constants.priority.PRIORITY_BELOW_NORMAL;

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

// who started it ends it, and so does its death; a signal for both would only cost an answer
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());

process.on('message', (question: SlowQuestion) => {
  const tell = (matches: SlowAnswer['matches']) => void process.send?.({ matches });
  matchesSlowHash(question).then(tell, () => tell(null));
});
process.send?.('up');
