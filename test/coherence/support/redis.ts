import { randomBytes } from 'node:crypto';
import { closeSync, copyFileSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { partOf, untilUp, type Part } from '../../../tools/quickstart/part.js';
import { freePort } from '../../../tools/quickstart/ports.js';
import { spawnTied } from '../../../tools/quickstart/tied-process.js';
import { tempDir } from '../../support/temp-dir.js';
import type { SomeRedis } from './stores.js';

/** A Redis that can come back with what it held at some time in the past. */
export interface DumpingRedis extends SomeRedis {
  /** A connection of the test's own as administrator; it comes back by itself after a restart. */
  admin: Redis;
  /** Keeps what it holds now as the dump that the next start loads. */
  dump: () => Promise<void>;
  /** Kills it; the dump stays. */
  stop: () => Promise<void>;
  /** Starts it on the same port with the last dump, if there is one. */
  start: () => Promise<void>;
}

const STOP = { signal: 'SIGKILL', patienceMs: 5_000, force: 'SIGKILL' } as const;

/** Starts a Redis in a temporary folder on a free port. */
export async function startDumpingRedis(): Promise<DumpingRedis> {
  const dir = tempDir();
  const port = await freePort();
  const password = randomBytes(12).toString('hex');
  let server: Part | null = await launch(dir.path, port, password);
  const admin = new Redis({ port, host: '127.0.0.1', password, retryStrategy: () => 50 });
  admin.on('error', () => undefined);
  const stop = async (): Promise<void> => {
    await server?.stop();
    server = null;
  };
  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    admin,
    get: (name) => admin.get(name),
    names: (pattern) => admin.keys(pattern),
    dump: async () => {
      await admin.save();
      copyFileSync(join(dir.path, 'now.rdb'), join(dir.path, 'kept.rdb'));
    },
    stop,
    start: async () => {
      if (server !== null) return;
      const kept = join(dir.path, 'kept.rdb');
      if (existsSync(kept)) copyFileSync(kept, join(dir.path, 'now.rdb'));
      else rmSync(join(dir.path, 'now.rdb'), { force: true });
      server = await launch(dir.path, port, password);
    },
    remove: async () => {
      admin.disconnect();
      await stop();
      dir.remove();
    },
  };
}

async function launch(dir: string, port: number, password: string): Promise<Part> {
  const logFile = join(dir, 'redis.log');
  const output = openSync(logFile, 'a', 0o600);
  const settings = { bind: '127.0.0.1', port, requirepass: password, dir, dbfilename: 'now.rdb' };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawnTied({
    command: 'redis-server',
    args: [...args, '--save', '', '--appendonly', 'no'],
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

async function answers(port: number, password: string): Promise<boolean> {
  const client = new Redis({
    port,
    host: '127.0.0.1',
    password,
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
