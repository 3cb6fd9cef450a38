import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Part } from '../../tools/quickstart/part.js';
import { freePort } from '../../tools/quickstart/ports.js';
import { startRedisServer } from '../../tools/quickstart/redis-server.js';
import { tempDir } from './temp-dir.js';

/** A Redis of a test's own, in memory only. It ends with the test process at the latest, however that ends. */
export interface TestRedis {
  url: string;
  /** Stops the server; what it held is gone. */
  stop: () => Promise<void>;
  /** Starts it again, empty, on the same port. */
  start: () => Promise<void>;
  /** Stops the server and removes its folder. */
  remove: () => Promise<void>;
}

/** Starts a Redis in a temporary folder on a free port. */
export async function startRedis(): Promise<TestRedis> {
  const dir = tempDir();
  const options = {
    dir: dir.path,
    port: await freePort(),
    password: randomBytes(12).toString('hex'),
    logFile: join(dir.path, 'redis.log'),
  };
  let server: Part | undefined;
  const start = async (): Promise<string> => {
    const started = await startRedisServer(options);
    server = started;
    return started.url;
  };
  const stop = async (): Promise<void> => {
    await server?.stop();
    server = undefined;
  };
  const url = await start();
  return {
    url,
    stop,
    start: async () => {
      if (server === undefined) await start();
    },
    remove: async () => {
      await stop();
      dir.remove();
    },
  };
}
