import { readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { matchesSlowHash, type SlowQuestion } from '#key-core/legacy';

/** What the process says of a question; null where it could not be computed. */
export interface SlowAnswer {
  matches: boolean | null;
}

/** Below everything that answers requests: each thread there is, and those that argon2 and libuv make from now on. */
if (process.platform === 'linux')
  for (const thread of readdirSync('/proc/self/task'))
    setPriority(Number(thread), constants.priority.PRIORITY_LOW);
else setPriority(0, constants.priority.PRIORITY_LOW);

// who started it ends it, and so does its death; a signal for both would only cost an answer
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit());

process.on('message', (question: SlowQuestion) => {
  const tell = (matches: SlowAnswer['matches']) => void process.send?.({ matches });
  matchesSlowHash(question).then(tell, () => tell(null));
});
process.send?.('up');
