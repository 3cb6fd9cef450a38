import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { Part } from '../../../tools/quickstart/part.js';
import { freePort } from '../../../tools/quickstart/ports.js';
import { tempDir } from '../../support/temp-dir.js';
import { adminOf, launchRedis, stateOf } from './redis-process.js';
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

/** Starts a Redis in a temporary folder on a free port. */
export async function startDumpingRedis(): Promise<DumpingRedis> {
  const dir = tempDir();
  const port = await freePort();
  const password = randomBytes(12).toString('hex');
  let server: Part | null = await launchRedis({ dir: dir.path, port, password });
  const admin = adminOf(port, password);
  const stop = async (): Promise<void> => {
    await server?.stop();
    server = null;
  };
  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    admin,
    get: (name) => admin.get(name),
    names: (pattern) => admin.keys(pattern),
    state: () => stateOf(port, admin),
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
      server = await launchRedis({ dir: dir.path, port, password });
    },
    remove: async () => {
      admin.disconnect();
      await stop();
      dir.remove();
    },
  };
}
