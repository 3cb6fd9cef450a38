import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { freePort } from '../../tools/quickstart/ports.js';
import { NO_HOME } from './no-home.js';
import { tempDir } from './temp-dir.js';

const quickstart = z.object({
  login: z.string(),
  keyService: z.string(),
  serviceA: z.string(),
  serviceB: z.string(),
  admin: z.object({ username: z.string(), password: z.string() }),
  clients: z.record(z.string(), z.object({ clientId: z.string(), clientSecret: z.string() })),
});
/** What `npm start` tells programs, in `quickstart.json`. */
export type Quickstart = z.infer<typeof quickstart>;

/** A platform that runs as a user's would: the processes of `npm start`, in a folder and on ports of its own. */
export interface TestPlatform {
  quickstart: Quickstart;
  home: string;
  /** Path of something in the home. */
  at: (...names: string[]) => string;
  /** Process id of what `npm start` runs. */
  pid: number;
  /** Variables it was started with: another app started with them belongs to it. */
  env: Record<string, string>;
  /** All that it has printed so far. */
  output: () => string;
  /** Resolves when it has ended, whoever ended it. */
  ended: Promise<{ code: number | null }>;
  /** Asks it to end and waits. The folder stays, so that it can be started again with `home`. */
  stop: () => Promise<{ code: number | null }>;
  /** Stops it and removes its folder. */
  remove: () => Promise<void>;
}

/** How to start a platform. */
export interface TestPlatformOptions {
  /** Folder of an earlier start. */
  home?: string;
  /** More variables: `DATABASE_URL`, `LOG_LEVEL`, the ports of an earlier start ... */
  env?: Record<string, string>;
}

/** What `npm start` and `npm run start:<app>` run. */
export const START = fileURLToPath(new URL('../../../tools/start.mjs', import.meta.url));
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** Starting takes a few seconds; many times that on a machine that is busy with something else. */
const START_TIMEOUT_MS = 90_000;

/**
 * Starts a platform and waits until it serves.
 *
 * @throws Error with everything that it printed when it does not get that far
 */
export async function startPlatform(options: TestPlatformOptions = {}): Promise<TestPlatform> {
  const folder = options.home === undefined ? tempDir() : undefined;
  const home = options.home ?? join(folder?.path ?? '', 'home');
  const env = { ...(await freePorts()), KEYWARD_HOME: home, ...options.env };
  const child = fork(START, [], {
    cwd: ROOT,
    env: startEnv(env),
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const output = collect(child);
  const ended = new Promise<{ code: number | null }>((resolve) => {
    child.once('close', (code) => resolve({ code }));
  });
  const stop = (): Promise<{ code: number | null }> => {
    child.kill('SIGTERM');
    return ended;
  };
  const remove = async (): Promise<void> => {
    await stop();
    folder?.remove();
  };
  try {
    await serving(child, ended);
  } catch (error) {
    await remove();
    throw new Error(`${(error as Error).message}:\n${output()}`, { cause: error });
  }
  const at = (...names: string[]) => join(home, ...names);
  const told = quickstart.parse(JSON.parse(readFileSync(at('quickstart.json'), 'utf8')));
  return { quickstart: told, home, at, pid: child.pid ?? 0, env, output, ended, stop, remove };
}

/** A free port for every app, as environment variables. */
export async function freePorts(): Promise<Record<string, string>> {
  const names = ['LOGIN_PORT', 'KEY_SERVICE_PORT', 'SERVICE_A_PORT', 'SERVICE_B_PORT'];
  const ports = await Promise.all(names.map(freePort));
  return Object.fromEntries(names.map((name, index) => [name, String(ports[index])]));
}

async function serving(
  child: ChildProcess,
  ended: Promise<{ code: number | null }>,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const ready = new Promise<null>((resolve, reject) => {
    child.once('message', () => resolve(null));
    timer = setTimeout(() => reject(new Error('It does not serve in time')), START_TIMEOUT_MS);
  });
  const end = await Promise.race([ready, ended]);
  clearTimeout(timer);
  if (end !== null) throw new Error(`It ended with ${end.code} before it served`);
}

function collect(child: ChildProcess): () => string {
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  }
  return () => chunks.join('');
}

/** Environment to start something of a platform in: what npm and an outer platform have set is not meant for this one. */
export function startEnv(env: Record<string, string>): NodeJS.ProcessEnv {
  const given = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) =>
        !/^npm_|_DATABASE_URL$|^DATABASE_URL$|^REDIS_URL$|_PORT$|^ADMIN_|^KEYWARD_|^NODE_OPTIONS$/.test(
          name,
        ),
    ),
  );
  return { ...given, KEYWARD_SKIP_SETUP: '1', KEYWARD_HOME: NO_HOME, ...env };
}
