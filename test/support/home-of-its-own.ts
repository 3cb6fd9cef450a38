import { ChildProcess } from 'node:child_process';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** What of the project reads settings, and with them the file `env` of its home. */
const READS_HOME = /\/(?:main|bootstrap|migrate|start|quickstart|demo|local-keys)\.m?js$/;

/** How Node starts all that goes on beside it, by `spawn`, `fork` or `execFile`. */
type Start = (options: { args?: string[]; envPairs?: string[] }) => unknown;

const node = ChildProcess.prototype as unknown as { spawn: Start };
const { spawn } = node;
const inherited = `KEYWARD_HOME=${process.env['KEYWARD_HOME']}`;

/*
 * Before each test file: no process of the platform starts without a `KEYWARD_HOME` that the test has given it. It would read the
 * settings of whoever has run `npm start` in this folder, and the test would go by their platform.
 */
node.spawn = function (options) {
  const { args = [], envPairs = [] } = options;
  const program = args.map((one) => resolve(one)).find((one) => READS_HOME.test(one));
  const isGiven = envPairs.some((one) => one.startsWith('KEYWARD_HOME=') && one !== inherited);
  if (program?.startsWith(ROOT) === true && !isGiven)
    throw new Error(`Give ${program} a KEYWARD_HOME, such as NO_HOME of test/support/no-home.ts`);
  return spawn.call(this, options);
};
afterAll(() => {
  node.spawn = spawn;
});
