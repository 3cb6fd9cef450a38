import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from './free-port.js';
import { NO_HOME } from './no-home.js';

/** An app as a process of its own. */
export interface AppProcess {
  url: string;
  /** Everything that it has written so far, to either stream. */
  output: () => string;
  /** Ends it with SIGTERM; resolves with the exit code. */
  stop: () => Promise<number | null>;
  /** Ends it with SIGKILL: it can do nothing more. */
  kill: () => Promise<void>;
}

/**
 * Starts an app from its built entry and waits until it listens.
 *
 * @param entry file of the app's `main`
 * @param env all of its environment; where it has no `portVariable`, that is set to a free port
 */
export async function startAppProcess(
  entry: URL,
  portVariable: string,
  env: Record<string, string>,
): Promise<AppProcess> {
  const port = env[portVariable] ?? String(await freePort());
  const child = fork(entry, {
    silent: true,
    env: { KEYWARD_HOME: NO_HOME, ...env, [portVariable]: port },
    execArgv: [],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exited = once(child, 'exit');
  const first = await Promise.race([once(child, 'message'), exited.then(() => null)]);
  if (first === null) throw new Error(`The app did not start:\n${output}`);
  return {
    url: `http://127.0.0.1:${port}`,
    output: () => output,
    stop: () => stop(child, exited),
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function stop(child: ChildProcess, exited: Promise<unknown[]>): Promise<number | null> {
  child.kill('SIGTERM');
  const [code] = await exited;
  return code as number | null;
}
