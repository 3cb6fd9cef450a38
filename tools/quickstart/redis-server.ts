import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { stopLeftover } from './leftover.js';
import { partOf, untilUp, type Part } from './part.js';
import { spawnTied } from './tied-process.js';

/** Where a Redis of the platform's own lives. */
export interface RedisOptions {
  /** Its working folder; made if need be. Nothing but settings is kept there: cache and counters may be lost. */
  dir: string;
  /** Port on 127.0.0.1. */
  port: number;
  password: string;
  logFile: string;
  /** Gets the server as soon as it is a process, before it is up. */
  onStart?: (server: Part) => void;
}

const START_TIMEOUT_MS = 15_000;
const STOP = { signal: 'SIGTERM', patienceMs: 5_000, force: 'SIGKILL' } as const;

/** Whether `redis-server` is on the PATH. */
export function hasRedisServer(): boolean {
  return spawnSync('redis-server', ['--version']).status === 0;
}

/**
 * Starts `redis-server` on 127.0.0.1, in memory only, behind a password.
 *
 * @throws Error with the last lines of its log when it does not listen within 15 s
 */
export async function startRedisServer(options: RedisOptions): Promise<Part & { url: string }> {
  const { dir, port, password, logFile, onStart } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const pidFile = join(dir, 'redis.pid');
  await stopLeftover(pidFile, 'redis-server', STOP.signal);
  const settings = {
    bind: '127.0.0.1',
    port,
    requirepass: password,
    dir: `"${dir}"`,
    pidfile: `"${pidFile}"`,
    daemonize: 'no',
    save: '""',
    appendonly: 'no',
  };
  // In a file, because arguments of a process are there for everybody to read.
  const file = join(dir, 'redis.conf');
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}\n`);
  writeFileSync(file, lines.join(''), { mode: 0o600 });
  const output = openSync(logFile, 'a', 0o600);
  const child = spawnTied({
    command: 'redis-server',
    args: [file],
    cwd: dir,
    output,
    endSignal: STOP.signal,
  });
  closeSync(output);
  const server = partOf(child, 'redis-server', STOP, () =>
    readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-8),
  );
  onStart?.(server);
  await untilUp(server, () => answersOn(port), START_TIMEOUT_MS);
  return { ...server, url: `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}` };
}

function answersOn(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
