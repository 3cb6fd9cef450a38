import { fork, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { partOf, untilUp, type Part } from '../quickstart/part.js';
import { freePort } from '../quickstart/ports.js';
import type { Bed, Database } from './bed.js';

/** A server to send load to. */
export interface Server extends Part {
  port: number;
  /** From the start of the process to its being ready. */
  startMs: number;
  /** Sends it a message, and waits for one from it. */
  tell: (message: string) => void;
  answered: () => Promise<void>;
}

/** Core of the measured servers; everything else is on the other. */
export const SERVER_CORE = 0;
export const OTHER_CORE = 1;
/** Core of a second server: the load generator's where there is no third. */
export const SECOND_CORE = availableParallelism() > 2 ? 2 : OTHER_CORE;

/** Node.js is started so in the Dockerfile too. Bare servers have the young generation that V8 gives everybody. */
const DEPLOYED = ['--max-semi-space-size=8'];
const STOP = { signal: 'SIGTERM', patienceMs: 10_000, force: 'SIGKILL' } as const;
const START_TIMEOUT_MS = 30_000;
const canPin =
  availableParallelism() >= 2 && spawnSync('taskset', ['-c', '0', 'true']).status === 0;

/** Keeps this process, and what it will start, on the other core. @returns how things are placed, to be printed */
export function pinBench(): string {
  if (!canPin) {
    return 'Nothing is pinned to a core (taskset of util-linux, or a second core, is missing): compare with care';
  }
  spawnSync('taskset', ['-a', '-c', '-p', String(OTHER_CORE), String(process.pid)]);
  return `Servers on core ${SERVER_CORE}; load, Redis and PostgreSQL on core ${OTHER_CORE}`;
}

/** Starts key services that share one secret, as replicas do. */
export function keyServices(bed: Bed, profileDir: string | null) {
  const secret = randomBytes(32).toString('base64');
  return async (database: Database, core = SERVER_CORE): Promise<Server> => {
    const port = await freePort();
    return start(bed, {
      name: 'key-service',
      port,
      core,
      entry:
        profileDir === null ? '../../apps/key-service/src/main.js' : './profiled-key-service.js',
      args: profileDir === null ? [] : [profileDir],
      nodeArgs: DEPLOYED,
      env: {
        NODE_ENV: 'production',
        LOG_LEVEL: 'warn',
        // longer than a run: what is measured as a hit is one
        CACHE_TTL_SECONDS: '3600',
        KEY_SERVICE_PORT: String(port),
        KEY_SERVICE_DATABASE_URL: database.runtimeUrl,
        REDIS_URL: bed.redisUrl,
        KEY_SERVICE_SECRET: secret,
        KEY_PEPPERS: `1:${bed.pepper.toString('base64')}`,
        LOGIN_URL: bed.issuer.url,
      },
    });
  };
}

/** The one route of a bare server. */
export type BareRoute = 'static' | 'script' | 'select' | 'pipeline';

/** Starts a bare Fastify with one route, which answers `answer`. */
export async function startBare(
  bed: Bed,
  route: BareRoute,
  { runtimeUrl, answer, core = SERVER_CORE }: { runtimeUrl: string; answer: string; core?: number },
): Promise<Server> {
  const port = await freePort();
  return start(bed, {
    name: `bare-${route}`,
    port,
    core,
    entry: './bare-server.js',
    args: [route, String(port), bed.redisUrl, runtimeUrl, answer],
    env: { NODE_ENV: 'production' },
  });
}

/** Starts a NestJS server with the same route under the key guard, `/guarded`, under one that lets all pass, `/nodded`, and open, `/open`. */
export async function startGuarded(bed: Bed, keyService: string, token: string): Promise<Server> {
  const port = await freePort();
  return start(bed, {
    name: 'guarded',
    port,
    core: SERVER_CORE,
    entry: './guarded-server.js',
    args: [String(port), keyService, token],
    env: { NODE_ENV: 'production' },
  });
}

interface StartOptions {
  name: string;
  port: number;
  core: number;
  entry: string;
  args?: string[];
  nodeArgs?: string[];
  env: Record<string, string>;
}

async function start(bed: Bed, options: StartOptions): Promise<Server> {
  const { name, port, core, entry, args = [], nodeArgs = [], env } = options;
  const logFile = join(bed.dir, `${name}-${port}.log`);
  const log = openSync(logFile, 'a', 0o600);
  const startedMs = performance.now();
  const child = fork(fileURLToPath(new URL(entry, import.meta.url)), args, {
    ...(canPin && { execPath: 'taskset' }),
    execArgv: canPin ? ['-c', String(core), process.execPath, ...nodeArgs] : nodeArgs,
    // malloc as in the Dockerfile, for all servers
    env: { PATH: process.env.PATH, MALLOC_ARENA_MAX: '2', ...env },
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const lastLines = () => readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-8);
  const part = partOf(child, name, STOP, lastLines);
  let startMs: number | undefined;
  child.once('message', () => {
    startMs = performance.now() - startedMs;
  });
  await untilUp(part, () => startMs !== undefined, START_TIMEOUT_MS);
  return {
    ...part,
    port,
    startMs: startMs!,
    tell: (message) => void child.send(message),
    answered: () => new Promise((resolve) => child.once('message', () => resolve())),
  };
}
