import { fork } from 'node:child_process';
import { once } from 'node:events';
import { entryOf } from '../quickstart/apps.js';
import { freePort } from '../quickstart/ports.js';

/** A service-a of the demo's own. */
export interface RunningServiceA {
  url: string;
  /** Lets it finish what it has begun. */
  stop: () => Promise<void>;
}

/** Starts service-a on a free port. @throws Error with what it wrote where it does not start */
export async function startServiceA(env: Record<string, string>): Promise<RunningServiceA> {
  const port = await freePort();
  const child = fork(entryOf('service-a'), [], {
    silent: true,
    execArgv: [],
    env: { ...env, PATH: process.env['PATH'], LOG_LEVEL: 'warn', SERVICE_A_PORT: String(port) },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exited = once(child, 'exit');
  const first = await Promise.race([once(child, 'message'), exited.then(() => null)]);
  if (first === null) throw new Error(`service-a did not start:\n${output}`);
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
