import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { startIssuer, type TestIssuer } from '../../apps/key-service/src/testing/issuer.js';
import { migrate } from '../../migrations/migrate.js';
import { startEmbeddedPostgres } from '../quickstart/embedded-postgres.js';
import { freePort } from '../quickstart/ports.js';
import { hasRedisServer, startRedisServer } from '../quickstart/redis-server.js';

/** What the measured servers stand on: PostgreSQL, Redis and an issuer of tokens, all of the bench's own. */
export interface Bed {
  dir: string;
  redisUrl: string;
  /** Processes of Redis and of PostgreSQL. */
  pids: { redis: number; postgres: number };
  issuer: TestIssuer;
  /** Pepper of every digest. */
  pepper: Buffer;
  /** A database with all schemas: its owner's URL, and that of the role which the key service runs as. */
  database: (name: string) => Promise<Database>;
  stop: () => Promise<void>;
}

export interface Database {
  ownerUrl: string;
  runtimeUrl: string;
}

/**
 * A quarter of the memory, as PostgreSQL's manual has it for a server of one's own, and at most 2 GB: the 128 MB that it takes without
 * being told are less than a tenth of a million keys.
 */
function buffers(): string[] {
  const mib = Math.min(totalmem() / 4 / 1_024 ** 2, 2_048);
  return ['-c', `shared_buffers=${Math.floor(mib)}MB`];
}

/** Starts everything in a temporary folder, on free loopback ports. */
export async function openBed(): Promise<Bed> {
  if (!hasRedisServer()) throw new Error('The bench needs redis-server on the PATH');
  const dir = mkdtempSync(join(tmpdir(), 'keyward-bench-'));
  const password = randomBytes(12).toString('hex');
  const [postgres, redis, issuer] = await Promise.all([
    startEmbeddedPostgres({
      dataDir: join(dir, 'postgres'),
      port: await freePort(),
      password,
      logFile: join(dir, 'postgres.log'),
      flags: buffers(),
    }),
    startRedisServer({
      dir: join(dir, 'redis'),
      port: await freePort(),
      password,
      logFile: join(dir, 'redis.log'),
    }),
    startIssuer(),
  ]);
  return {
    dir,
    redisUrl: redis.url,
    pids: { redis: redis.pid, postgres: postgres.pid },
    issuer,
    pepper: randomBytes(32),
    database: (name) => makeDatabase(postgres.url, name, password),
    stop: async () => {
      await Promise.all([postgres.stop(), redis.stop(), issuer.stop()]);
      rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

async function makeDatabase(url: string, name: string, password: string): Promise<Database> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  const ownerUrl = new URL(url);
  ownerUrl.pathname = `/${name}`;
  const runtimeUrl = new URL(ownerUrl);
  runtimeUrl.username = 'key_service';
  runtimeUrl.password = password;
  await migrate({ ownerUrl: ownerUrl.href, keyServiceUrl: runtimeUrl.href });
  return { ownerUrl: ownerUrl.href, runtimeUrl: runtimeUrl.href };
}
