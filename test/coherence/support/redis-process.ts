import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { partOf, untilUp, type Part } from '../../../tools/quickstart/part.js';
import { spawnTied } from '../../../tools/quickstart/tied-process.js';

const STOP = { signal: 'SIGKILL', patienceMs: 5_000, force: 'SIGKILL' } as const;

/** How a server is to be. */
export interface RedisProcessOptions {
  /** Its folder, where it loads `now.rdb` from. */
  dir: string;
  port: number;
  /** None for a Sentinel. */
  password?: string;
  /** More settings. */
  settings?: Record<string, string | number>;
  /** A file of settings that it may rewrite, and what else comes first. */
  first?: string[];
}

/** Starts a redis-server, which keeps nothing by itself, and waits until it answers. It is killed when it is stopped. */
export async function launchRedis(options: RedisProcessOptions): Promise<Part> {
  const { dir, port, password, settings = {}, first = [] } = options;
  const logFile = join(dir, 'redis.log');
  const output = openSync(logFile, 'a', 0o600);
  const all = {
    ...{ bind: '127.0.0.1', port, dir },
    ...(password !== undefined && {
      ...{ requirepass: password, masterauth: password },
      ...{ dbfilename: 'now.rdb', save: '', appendonly: 'no', 'repl-diskless-sync-delay': 0 },
    }),
    ...settings,
  };
  const child = spawnTied({
    command: 'redis-server',
    args: [
      ...first,
      ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ],
    cwd: dir,
    output,
    endSignal: 'SIGTERM',
  });
  closeSync(output);
  const server = partOf(child, 'redis-server', STOP, () =>
    readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-8),
  );
  await untilUp(server, () => answers(port, password), 15_000);
  return server;
}

/** A connection of a test's own to one server; it comes back by itself. */
export function adminOf(port: number, password?: string): Redis {
  const admin = new Redis({
    port,
    host: '127.0.0.1',
    ...(password !== undefined && { password }),
    retryStrategy: () => 50,
  });
  admin.on('error', () => undefined);
  return admin;
}

/** What a server says of itself: whom it follows, and of a cluster whom it knows and in what state. */
export async function stateOf(port: number, admin: Redis): Promise<string> {
  if (admin.status !== 'ready') return `${port}: ${admin.status}`;
  const said = await Promise.all([
    admin.info('replication'),
    ...['INFO', 'NODES'].map((what) => admin.call('CLUSTER', what).catch(() => '')),
  ]).catch((error: unknown) => [String(error)]);
  const lines = said.flatMap((one) => String(one).trimEnd().split(/\r?\n/));
  return `${port}: ${lines.filter((line) => STATE_LINES.test(line)).join('\n  ')}`;
}

const STATE_LINES =
  /^(role|master_|slave\d|cluster_(state|slots|known|size|my_epoch)|[0-9a-f]{40} )/;

async function answers(port: number, password?: string): Promise<boolean> {
  const client = new Redis({
    port,
    host: '127.0.0.1',
    ...(password !== undefined && { password }),
    lazyConnect: true,
    retryStrategy: () => null,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}
