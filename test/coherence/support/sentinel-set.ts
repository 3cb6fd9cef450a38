import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../../tools/quickstart/ports.js';
import { adminOf, launchRedis } from './redis-process.js';
import type { RedisServer } from './redis-server.js';
import { isInPlace, replicationOf, startMembers, waysOf, type RedisSet } from './redis-set.js';
import { until } from './world.js';

/** A primary and a replica, which three Sentinels watch over. */
export async function startSentinelSet(): Promise<RedisSet> {
  const { members, password, dir, remove } = await startMembers(2, async () => ({}));
  const follow = async (master: RedisServer): Promise<void> => {
    const others = members.filter((one) => one !== master);
    for (const { admin } of others) await admin.replicaof('127.0.0.1', master.port);
  };
  let [master] = members as [RedisServer];
  await follow(master);
  const areInPlace = async () => (await Promise.all(members.map(isInPlace))).every(Boolean);
  await until('the replica', areInPlace);
  const sentinels = await startSentinels(dir, { port: master.port, password });
  const watcher = adminOf(sentinels[0]!.port);
  await until('the Sentinels to know each other and the replica', async () => {
    const state = (await watcher.call('SENTINEL', 'MASTER', 'main')) as string[];
    const numberOf = (name: string) => Number(state[state.indexOf(name) + 1]);
    return numberOf('num-other-sentinels') === 2 && numberOf('num-slaves') === 1;
  });
  /** By the word of the Sentinels: one that comes back takes itself for a master for some time. */
  const masters = async (): Promise<RedisServer[]> => {
    const told = await watcher.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main');
    const found = members.filter(({ port }) => String(port) === (told as string[])[1]);
    [master = master] = found;
    return (await replicationOf(master)) === '' ? [] : [master];
  };
  const holderOf = async (): Promise<RedisServer> => {
    await masters();
    return master;
  };
  const ways = waysOf(members, masters);
  return {
    ...ways,
    ...{ kind: 'sentinel', members, masters, holderOf },
    url: `redis-sentinel://:${password}@${sentinels.map(({ port }) => `127.0.0.1:${port}`).join()}/main`,
    ports: [...members, ...sentinels].map(({ port }) => port),
    at: async () => (await holderOf()).admin,
    get: async (name) => (await holderOf()).admin.get(name),
    start: async () => {
      await holderOf();
      await master.start();
      await Promise.all(members.map((one) => one.start()));
      await follow(master);
      await until('the set to be whole again', async () => {
        const [now] = await masters();
        return now !== undefined && (await ways.heirOf(now)) !== undefined && areInPlace();
      });
    },
    remove: async () => {
      watcher.disconnect();
      await Promise.all(sentinels.map((one) => one.part.stop()));
      await remove();
    },
  };
}

function startSentinels(dir: string, primary: { port: number; password: string }) {
  return Promise.all(
    [0, 1, 2].map(async (i) => {
      const own = join(dir, `sentinel-${i}`);
      mkdirSync(own);
      const port = await freePort();
      const file = join(own, 'sentinel.conf');
      writeFileSync(
        file,
        [
          `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
          `sentinel auth-pass main ${primary.password}`,
          'sentinel down-after-milliseconds main 800',
          'sentinel failover-timeout main 1000',
        ].join('\n'),
      );
      const part = await launchRedis({ dir: own, port, first: [file, '--sentinel'] });
      return { part, port };
    }),
  );
}
