import { freePort } from '../../../tools/quickstart/ports.js';
import type { RedisServer } from './redis-server.js';
import { isInPlace, replicationOf, startMembers, waysOf, type RedisSet } from './redis-set.js';
import { until } from './world.js';

const SLOTS = 16_384;
const MASTERS = 3;

/** A Redis Cluster of three masters, each with a replica. */
export async function startRedisCluster(): Promise<RedisSet> {
  const { members, password, remove } = await startMembers(2 * MASTERS, async () => ({
    'cluster-enabled': 'yes',
    'cluster-port': await freePort(),
    'cluster-node-timeout': 1_000,
    'cluster-replica-validity-factor': 0,
  }));
  await introduce(members);
  await shareSlots(members);
  const isWhole = async () => (await Promise.all(members.map(isWell))).every(Boolean);
  await until('the cluster to be whole', isWhole);
  const masters = () => mastersOf(members);
  const holderOf = async (name: string): Promise<RedisServer> => {
    for (const master of await masters()) if (await owns(master, name)) return master;
    throw new Error(`No master holds ${name}`);
  };
  return {
    ...waysOf(members, masters),
    ...{ kind: 'cluster', members, masters, holderOf, remove },
    url: `redis-cluster://:${password}@${members.map(({ port }) => `127.0.0.1:${port}`).join()}`,
    ports: members.map(({ port }) => port),
    at: async (name) => (await holderOf(name)).admin,
    get: async (name) => {
      for (const { admin } of await masters()) {
        const found = await admin.get(name).catch(() => null);
        if (found !== null) return found;
      }
      return null;
    },
    start: async () => {
      await Promise.all(members.map((one) => one.start()));
      await until('the cluster to be whole again', isWhole);
    },
  };
}

async function introduce(members: readonly RedisServer[]): Promise<void> {
  const busPorts = await Promise.all(
    members.map(async ({ admin }) => ((await admin.config('GET', 'cluster-port')) as string[])[1]!),
  );
  for (const [i, { port }] of members.entries())
    await members[0]!.admin.call('CLUSTER', 'MEET', '127.0.0.1', port, busPorts[i]!);
  await until('the nodes to know each other', async () => {
    const known = await Promise.all(members.map(({ admin }) => admin.call('CLUSTER', 'NODES')));
    return known.every((text) => String(text).trim().split('\n').length === members.length);
  });
}

async function shareSlots(members: readonly RedisServer[]): Promise<void> {
  const share = Math.ceil(SLOTS / MASTERS);
  for (const [i, { admin }] of members.slice(0, MASTERS).entries()) {
    const last = Math.min(SLOTS, (i + 1) * share) - 1;
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', i * share, last);
    const id = String(await admin.call('CLUSTER', 'MYID'));
    await members[i + MASTERS]!.admin.call('CLUSTER', 'REPLICATE', id);
  }
}

async function mastersOf(members: readonly RedisServer[]): Promise<RedisServer[]> {
  const said = await Promise.all(members.map(replicationOf));
  return members.filter((_, i) => said[i]!.includes('role:master'));
}

async function owns({ admin }: RedisServer, name: string): Promise<boolean> {
  const slot = Number(await admin.call('CLUSTER', 'KEYSLOT', name));
  const nodes = String(await admin.call('CLUSTER', 'NODES'));
  const own = nodes.split('\n').find((line) => line.includes('myself')) ?? '';
  const ranges = own.split(' ').slice(8);
  return ranges.some((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return first! <= slot && slot <= last!;
  });
}

async function isWell(member: RedisServer): Promise<boolean> {
  if (!(await isInPlace(member))) return false;
  const info = await member.admin.call('CLUSTER', 'INFO').catch(() => '');
  return String(info).includes('cluster_state:ok');
}
