import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.js';

/** A project of another team: an empty folder, packages from the registry and ours as tarballs. */
export interface OutsideProject {
  folder: string;
  /** Writes a source file. */
  write: (file: string, text: string) => void;
  /** Runs the project's TypeScript; @returns what it has to say, a line an error. */
  tsc: (...args: string[]) => Promise<string[]>;
  /** Runs a compiled file until it ends; @returns what it printed. */
  run: (file: string, env: Record<string, string>) => Promise<string>;
  /** Runs a compiled file that serves HTTP at `PORT`; @returns its address once it answers. */
  serve: (file: string, env: Record<string, string>) => Promise<string>;
  /** Stops all that serve. */
  stop: () => Promise<void>;
}

/**
 * Makes a project and installs its packages; what npm has in its cache is not fetched again.
 *
 * @throws Error with what npm printed where it cannot install
 */
export async function createOutsideProject(
  folder: string,
  type: 'module' | 'commonjs',
  packages: readonly string[],
): Promise<OutsideProject> {
  mkdirSync(folder, { recursive: true });
  const write = (file: string, text: string) => writeFileSync(join(folder, file), text);
  write('package.json', JSON.stringify({ name: 'outside', private: true, type }));
  const flags = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  const installed = await ended(start('npm', ['install', ...flags, ...packages], folder));
  if (installed.code !== 0) throw new Error(`npm install ended badly:\n${installed.output()}`);
  const serving: Started[] = [];
  const node = (args: string[], env: Record<string, string> = {}) =>
    start(process.execPath, args, folder, env);
  return {
    folder,
    write,
    tsc: async (...args) => {
      const { output } = await ended(node(['node_modules/typescript/bin/tsc', ...args]));
      return output()
        .split('\n')
        .filter((line) => line.includes('error TS'));
    },
    run: async (file, env) => (await ended(node([file], env))).output(),
    serve: async (file, env) => {
      const port = await freePort();
      const process = node([file], { ...env, PORT: String(port) });
      serving.push(process);
      return untilServing(`http://127.0.0.1:${port}`, process);
    },
    stop: async () => {
      serving.forEach(({ child }) => child.kill());
      await Promise.all(serving.map(({ closed }) => closed));
      serving.length = 0;
    },
  };
}

/** The nth block of code of a README, from 1. */
export function exampleOf(readme: string, nth = 1, language: 'ts' | 'js' | 'sh' = 'ts'): string {
  const blocks = [...readFileSync(readme, 'utf8').matchAll(/^```(\w*)\n([^]*?)^```$/gm)];
  const block = blocks.filter(([, name]) => name === language)[nth - 1]?.[2];
  if (block === undefined) throw new Error(`${readme} has no example ${nth}`);
  return block;
}

interface Started {
  child: ChildProcess;
  output: () => string;
  closed: Promise<number | null>;
}

function start(
  program: string,
  args: string[],
  cwd: string,
  env: Record<string, string> = {},
): Started {
  const { NODE_OPTIONS: _, ...given } = process.env;
  const child = spawn(program, args, {
    cwd,
    env: { ...given, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => chunks.push(text));
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { child, output: () => chunks.join(''), closed };
}

async function ended({ output, closed }: Started) {
  return { code: await closed, output };
}

async function untilServing(url: string, { output, closed }: Started): Promise<string> {
  let isOver = false;
  void closed.then(() => (isOver = true));
  for (;;) {
    const answers = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answers) return url;
    if (isOver) throw new Error(`It ended instead of serving:\n${output()}`);
    await sleep(50);
  }
}
