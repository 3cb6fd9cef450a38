import { randomBytes } from 'node:crypto';
import { tempDir } from '../../support/temp-dir.js';
import { stateOf } from './redis-process.js';
import { startRedisServer } from './redis-server.js';
import { startRedisCluster } from './redis-cluster.js';
import { startSentinelSet } from './sentinel-set.js';
import type { RedisKind, SomeRedis } from './stores.js';

const STARTS: Record<RedisKind, () => Promise<SomeRedis>> = {
  single: startSingleRedis,
  cluster: startRedisCluster,
  sentinel: startSentinelSet,
};

/** What all tests of coherence run on that do not choose themselves: `KEYWARD_TEST_REDIS`, a single server where that is not set. */
export const REDIS_KIND = kindOf(process.env['KEYWARD_TEST_REDIS'] ?? 'single');

/** Starts a Redis of that kind. */
export function startRedis(): Promise<SomeRedis> {
  return STARTS[REDIS_KIND]();
}

function kindOf(name: string): RedisKind {
  if (Object.hasOwn(STARTS, name)) return name as RedisKind;
  throw new Error(`KEYWARD_TEST_REDIS is one of ${Object.keys(STARTS).join(', ')}, not "${name}"`);
}

async function startSingleRedis(): Promise<SomeRedis> {
  const dir = tempDir();
  const password = randomBytes(12).toString('hex');
  const server = await startRedisServer({ dir: dir.path, password });
  const { port, admin } = server;
  return {
    kind: 'single',
    url: `redis://:${password}@127.0.0.1:${port}`,
    ports: [port],
    at: () => Promise.resolve(admin),
    each: async (work) => void (await work(admin)),
    get: (name) => admin.get(name),
    names: (pattern) => admin.keys(pattern),
    dump: server.dump,
    stop: server.kill,
    start: server.start,
    state: () => stateOf(port, admin),
    remove: async () => {
      admin.disconnect();
      await server.kill();
      dir.remove();
    },
  };
}
