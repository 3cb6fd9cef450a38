import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { Part } from '../../../tools/quickstart/part.js';
import { freePort } from '../../../tools/quickstart/ports.js';
import { adminOf, launchRedis } from './redis-process.js';

/** A redis-server that a test can end and start again. */
export interface RedisServer {
  port: number;
  /** A connection of the test's own as administrator; it comes back by itself after a restart. */
  admin: Redis;
  /** Keeps what it holds now as the dump that each later start loads. */
  dump: () => Promise<void>;
  /** Ends it at once, as a crash does, with all that it holds; the dump stays. */
  kill: () => Promise<void>;
  /** Starts it again, with the last dump, empty where there is none. */
  start: () => Promise<void>;
}

/** How a server is to be. */
export interface RedisServerOptions {
  /** Its folder, which is made. */
  dir: string;
  password: string;
  /** More settings. */
  settings?: Record<string, string | number>;
}

/** Starts a server on a free port. */
export async function startRedisServer({
  dir,
  password,
  settings = {},
}: RedisServerOptions): Promise<RedisServer> {
  mkdirSync(dir, { recursive: true });
  const options = { dir, port: await freePort(), password, settings };
  const [now, kept] = [join(dir, 'now.rdb'), join(dir, 'kept.rdb')];
  let server: Part | null = await launchRedis(options);
  let last: Promise<void> = Promise.resolve();
  // one after the other, as two faults may be about the same server: it is started once, and there is none that nobody can kill
  const inTurn = (work: () => Promise<void>): Promise<void> =>
    (last = last.catch(() => undefined).then(work));
  const { port } = options;
  const admin = adminOf(port, password);
  return {
    ...{ port, admin },
    dump: () =>
      inTurn(async () => {
        if (server === null) return;
        await admin.save();
        copyFileSync(now, kept);
      }),
    kill: () =>
      inTurn(async () => {
        await server?.stop();
        server = null;
      }),
    start: () =>
      inTurn(async () => {
        if (server !== null) return;
        if (existsSync(kept)) copyFileSync(kept, now);
        else rmSync(now, { force: true });
        server = await launchRedis(options);
      }),
  };
}
