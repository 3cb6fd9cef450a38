import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { Part } from '../../../tools/quickstart/part.js';
import { freePort } from '../../../tools/quickstart/ports.js';
import { tempDir } from '../../support/temp-dir.js';
import { adminOf, launchRedis, stateOf } from './redis-process.js';
import type { SomeRedis } from './stores.js';
import { until } from './world.js';

/** One of several servers that belong together. */
export interface Member {
  port: number;
  admin: Redis;
  /** Ends it at once, as a crash does, with all that it holds. */
  kill: () => Promise<void>;
  /** Starts it again, empty. */
  start: () => Promise<void>;
}

/** Several servers, some of which follow others and take their place when they die. */
export interface RedisSet extends SomeRedis {
  members: readonly Member[];
  /** The members that are masters now. */
  masters: () => Promise<Member[]>;
  /** The master that a name belongs to now. */
  holderOf: (name: string) => Promise<Member>;
  /** Who follows a master now, where anybody does. */
  heirOf: (master: Member) => Promise<Member | undefined>;
}

/** A replica hears nothing of its master any more, and keeps what it has: promoted, it brings old data with it. */
export async function fallBehind(master: Member, replica: Member): Promise<void> {
  await replica.admin.config('SET', 'masterauth', 'not the password');
  await master.admin.call('CLIENT', 'KILL', 'TYPE', 'replica');
  await until('the replica to be cut off', async () => {
    return (await replica.admin.info('replication')).includes('master_link_status:down');
  });
}

/** Takes {@link fallBehind} back. */
export async function catchUp({ admin }: Member): Promise<void> {
  const [, password] = (await admin.config('GET', 'requirepass')) as string[];
  await admin.config('SET', 'masterauth', password!);
}

/** A Redis Cluster of three masters, each with a replica. */
export async function startRedisCluster(): Promise<RedisSet> {
  const set = await startMembers(6, async () => ({
    'cluster-enabled': 'yes',
    'cluster-port': await freePort(),
    'cluster-node-timeout': 1_000,
    'cluster-replica-validity-factor': 0,
  }));
  const { members, password } = set;
  const busPorts = await Promise.all(
    members.map(async ({ admin }) => ((await admin.config('GET', 'cluster-port')) as string[])[1]!),
  );
  for (const [i, { port }] of members.entries())
    await members[0]!.admin.call('CLUSTER', 'MEET', '127.0.0.1', port, busPorts[i]!);
  await until('the nodes to know each other', async () => {
    const known = await Promise.all(members.map(({ admin }) => admin.call('CLUSTER', 'NODES')));
    return known.every((text) => String(text).trim().split('\n').length === members.length);
  });
  const share = Math.ceil(SLOTS / 3);
  for (const [i, { admin }] of members.slice(0, 3).entries()) {
    const last = Math.min(SLOTS, (i + 1) * share) - 1;
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', i * share, last);
    const id = String(await admin.call('CLUSTER', 'MYID'));
    await members[i + 3]!.admin.call('CLUSTER', 'REPLICATE', id);
  }
  await until('the cluster to be whole', () => isWhole(members));
  const masters = () => mastersOf(members);
  return {
    ...set,
    url: `redis-cluster://:${password}@${members.map(({ port }) => `127.0.0.1:${port}`).join()}`,
    masters,
    get: async (name) => {
      for (const { admin } of await masters()) {
        const found = await admin.get(name).catch(() => null);
        if (found !== null) return found;
      }
      return null;
    },
    holderOf: async (name) => {
      const slot = Number(await members[0]!.admin.call('CLUSTER', 'KEYSLOT', name));
      for (const master of await masters()) if (await owns(master, slot)) return master;
      throw new Error(`No master holds ${name}`);
    },
  };
}

/** A primary and a replica, which three Sentinels watch over. */
export async function startSentinelSet(): Promise<RedisSet> {
  const set = await startMembers(2, async () => ({}));
  const { members, password, dir } = set;
  const [first, second] = members as [Member, Member];
  await second.admin.replicaof('127.0.0.1', first.port);
  await until('the replica', async () => {
    return (await second.admin.info('replication')).includes('master_link_status:up');
  });
  const sentinels = await Promise.all(
    [0, 1, 2].map((i) => startSentinel(join(dir, `sentinel-${i}`), first.port, password)),
  );
  const watcher = adminOf(sentinels[0]!.port);
  await until('the Sentinels to know each other and the replica', async () => {
    const state = (await watcher.call('SENTINEL', 'MASTER', 'main')) as string[];
    const numberOf = (name: string) => Number(state[state.indexOf(name) + 1]);
    return numberOf('num-other-sentinels') === 2 && numberOf('num-slaves') === 1;
  });
  const masters = () => mastersOf(members);
  return {
    ...set,
    url: `redis-sentinel://:${password}@${sentinels.map(({ port }) => `127.0.0.1:${port}`).join()}/main`,
    masters,
    get: async (name) => (await masters())[0]!.admin.get(name),
    holderOf: async () => (await masters())[0]!,
    remove: async () => {
      watcher.disconnect();
      await Promise.all(sentinels.map((one) => one.part.stop()));
      await set.remove();
    },
  };
}

const SLOTS = 16_384;

async function startMembers(
  count: number,
  settingsOf: () => Promise<Record<string, string | number>>,
) {
  const dir = tempDir();
  const password = randomBytes(12).toString('hex');
  const members = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const own = join(dir.path, `redis-${i}`);
      mkdirSync(own);
      return startMember(own, password, await settingsOf());
    }),
  );
  return {
    ...{ members, password, dir: dir.path },
    heirOf: (master: Member) => heirOf(master, members),
    names: async (pattern: string) => {
      const found = (await mastersOf(members)).map(({ admin }) => admin.keys(pattern));
      return (await Promise.all(found)).flat();
    },
    state: async () => {
      const states = members.map(({ port, admin }) => stateOf(port, admin));
      return (await Promise.all(states)).join('\n');
    },
    remove: async () => {
      for (const { admin } of members) admin.disconnect();
      await Promise.all(members.map((one) => one.kill()));
      dir.remove();
    },
  };
}

async function startMember(
  dir: string,
  password: string,
  settings: Record<string, string | number>,
): Promise<Member> {
  const port = await freePort();
  const options = { dir, port, password, settings };
  let server: Part | null = await launchRedis(options);
  let last: Promise<void> = Promise.resolve();
  // one after the other, as two faults may be about the same server: it is started once, and there is none that nobody can kill
  const inTurn = (work: () => Promise<void>): Promise<void> =>
    (last = last.catch(() => undefined).then(work));
  return {
    port,
    admin: adminOf(port, password),
    kill: () =>
      inTurn(async () => {
        await server?.stop();
        server = null;
      }),
    start: () =>
      inTurn(async () => {
        server ??= await launchRedis(options);
      }),
  };
}

async function startSentinel(dir: string, primaryPort: number, password: string) {
  mkdirSync(dir);
  const port = await freePort();
  const file = join(dir, 'sentinel.conf');
  writeFileSync(
    file,
    [
      `sentinel monitor main 127.0.0.1 ${primaryPort} 2`,
      `sentinel auth-pass main ${password}`,
      'sentinel down-after-milliseconds main 800',
      'sentinel failover-timeout main 4000',
    ].join('\n'),
  );
  const part = await launchRedis({ dir, port, first: [file, '--sentinel'] });
  return { part, port };
}

async function roleOf({ admin }: Member): Promise<string | null> {
  if (admin.status !== 'ready') return null;
  const info = await admin.info('replication').catch(() => '');
  return /role:(\w+)/.exec(info)?.[1] ?? null;
}

async function mastersOf(members: readonly Member[]): Promise<Member[]> {
  const roles = await Promise.all(members.map(roleOf));
  return members.filter((_, i) => roles[i] === 'master');
}

async function heirOf({ port }: Member, members: readonly Member[]): Promise<Member | undefined> {
  const follows = await Promise.all(
    members.map(async ({ admin }) => {
      const info = admin.status === 'ready' ? await admin.info('replication').catch(() => '') : '';
      return info.includes('role:slave') && info.includes(`master_port:${port}`);
    }),
  );
  return members[follows.indexOf(true)];
}

async function owns({ admin }: Member, slot: number): Promise<boolean> {
  const nodes = String(await admin.call('CLUSTER', 'NODES'));
  const own = nodes.split('\n').find((line) => line.includes('myself')) ?? '';
  const ranges = own.split(' ').slice(8);
  return ranges.some((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return first! <= slot && slot <= last!;
  });
}

async function isWhole(members: readonly Member[]): Promise<boolean> {
  const states = await Promise.all(
    members.map(async ({ admin }) => {
      const info = String(await admin.call('CLUSTER', 'INFO'));
      const role = await admin.info('replication');
      return (
        info.includes('cluster_state:ok') &&
        (role.includes('role:master') || role.includes('master_link_status:up'))
      );
    }),
  );
  return states.every(Boolean);
}
