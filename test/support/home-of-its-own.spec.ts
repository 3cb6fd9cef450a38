import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { NO_HOME } from './no-home.js';
import { START } from './platform.js';

const MAIN = fileURLToPath(new URL('../../apps/key-service/src/main.js', import.meta.url));
const { KEYWARD_HOME: _, ...env } = process.env;

const starts: [string, (given: NodeJS.ProcessEnv) => ChildProcess][] = [
  ['an app', (given) => fork(MAIN, [], { env: given, silent: true })],
  ['npm start', (given) => spawn(process.execPath, [START, 'no-such-app'], { env: given })],
];

test.each(starts)('%s is not started by a test without a home of its own', async (_what, start) => {
  expect(() => start(env)).toThrow('KEYWARD_HOME');
  // it ends by itself, as it has no settings
  const [code] = (await once(start({ ...env, KEYWARD_HOME: NO_HOME }), 'exit')) as [number];
  expect(code).toBeGreaterThan(0);
});

test('what is not of the platform is started without one', async () => {
  const child = spawn(process.execPath, ['--eval', ''], { env });
  expect(await once(child, 'exit')).toEqual([0, null]);
});
