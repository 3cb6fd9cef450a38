import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { tempDir } from '../../support/temp-dir.js';
import { stateOf } from './redis-process.js';
import { startRedisServer, type RedisServer } from './redis-server.js';
import type { SomeRedis } from './stores.js';
import { until } from './world.js';

/** Several servers, some of which follow others and take their place when they die. */
export interface RedisSet extends SomeRedis {
  members: readonly RedisServer[];
  /** The members that take writes now. */
  masters: () => Promise<RedisServer[]>;
  /** The master that a name belongs to now. */
  holderOf: (name: string) => Promise<RedisServer>;
  /** Who follows a master now, where anybody does. */
  heirOf: (master: RedisServer) => Promise<RedisServer | undefined>;
}

/** Whether it is one of several servers, of which some may die without the others. */
export function isSet(redis: SomeRedis): redis is RedisSet {
  return redis.kind !== 'single';
}

/** A replica hears nothing of its master any more, and keeps what it has: promoted, it brings old data with it. */
export async function fallBehind(master: RedisServer, replica: RedisServer): Promise<void> {
  await replica.admin.config('SET', 'masterauth', 'not the password');
  await master.admin.call('CLIENT', 'KILL', 'TYPE', 'replica');
  await until('the replica to be cut off', async () => {
    return (await replica.admin.info('replication')).includes('master_link_status:down');
  });
}

/** Takes {@link fallBehind} back. */
export async function catchUp({ admin }: RedisServer): Promise<void> {
  const [, password] = (await admin.config('GET', 'requirepass')) as string[];
  await admin.config('SET', 'masterauth', password!);
}

/** Servers with one password in a folder of their own, which is removed with them. */
export interface Members {
  members: readonly RedisServer[];
  password: string;
  dir: string;
  remove: () => Promise<void>;
}

/** Starts so many servers that do not know each other yet. */
export async function startMembers(
  count: number,
  settingsOf: () => Promise<Record<string, string | number>>,
): Promise<Members> {
  const dir = tempDir();
  const password = randomBytes(12).toString('hex');
  const members = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const settings = await settingsOf();
      return startRedisServer({ dir: join(dir.path, `redis-${i}`), password, settings });
    }),
  );
  return {
    ...{ members, password, dir: dir.path },
    remove: async () => {
      for (const { admin } of members) admin.disconnect();
      await Promise.all(members.map((one) => one.kill()));
      dir.remove();
    },
  };
}

/** What can be done with a set of any kind, by who its masters are. */
export function waysOf(
  members: readonly RedisServer[],
  masters: RedisSet['masters'],
): Pick<RedisSet, 'each' | 'names' | 'dump' | 'stop' | 'state' | 'heirOf'> {
  const ofAll = async <T>(work: (one: RedisServer) => Promise<T>): Promise<T[]> =>
    Promise.all((await masters()).map(work));
  return {
    each: async (work) => void (await ofAll(({ admin }) => work(admin))),
    names: async (pattern) => (await ofAll(({ admin }) => admin.keys(pattern))).flat(),
    dump: async () => void (await ofAll((one) => one.dump())),
    stop: async () => void (await Promise.all(members.map((one) => one.kill()))),
    state: async () => {
      const states = members.map(({ port, admin }) => stateOf(port, admin));
      return (await Promise.all(states)).join('\n');
    },
    heirOf: async ({ port }) => {
      const said = await Promise.all(members.map(replicationOf));
      return members.find(
        (_, i) => said[i]!.includes('role:slave') && said[i]!.includes(`master_port:${port}`),
      );
    },
  };
}

/** What a server says of whom it follows or who follows it; nothing where it is away. */
export async function replicationOf({ admin }: RedisServer): Promise<string> {
  if (admin.status !== 'ready') return '';
  return admin.info('replication').catch(() => '');
}

/** Whether a server is a master, or has all that its master has. */
export async function isInPlace(member: RedisServer): Promise<boolean> {
  return /role:master|master_link_status:up/.test(await replicationOf(member));
}
