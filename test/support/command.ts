import { spawn } from 'node:child_process';
import { ROOT, START, startEnv } from './platform.js';

/** A command that runs. */
export interface Command {
  pid: number;
  /** All that it has printed so far, to either stream. */
  output: () => string;
  ended: Promise<{ code: number | null; output: string }>;
}

/** Starts a command in the project's folder. */
export function startCommand(
  [program, ...args]: [string, ...string[]],
  env: Record<string, string>,
): Command {
  const child = spawn(program, args, {
    cwd: ROOT,
    env: startEnv(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  const output = () => chunks.join('');
  const ended = new Promise<{ code: number | null; output: string }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output: output() }));
  });
  return { pid: child.pid ?? 0, output, ended };
}

/** Runs what `npm start`, `npm run start:<app>` or `npm run demo -- <options>` runs, and waits for its end. */
export function runStart(
  app: string | null,
  env: Record<string, string>,
): Promise<{ code: number | null; output: string }> {
  return startCommand([process.execPath, START, ...(app === null ? [] : app.split(' '))], env)
    .ended;
}
