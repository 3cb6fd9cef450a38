import { constants, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { matchesSlowHash, type SlowQuestion } from '#key-core/legacy';

/** Below everything that answers requests. On Linux 0 is this thread alone; elsewhere it is left as it is. */
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_LOW);

/** One question at a time; an exception is a no. */
parentPort!.on('message', (question: SlowQuestion) => {
  matchesSlowHash(question).then(
    (matches) => parentPort!.postMessage(matches),
    () => parentPort!.postMessage(false),
  );
});
