import type { Fault } from './random-run.js';
import type { RedisServer } from './redis-server.js';
import { catchUp, fallBehind, type RedisSet } from './redis-set.js';
import { sleep } from './world.js';

/** What may happen to some of the servers of a set: they die with all they hold, come back without it, or with what is old. */
export function setFaultsOf(redis: RedisSet): Record<string, Fault> {
  const anyMaster = async (replica: number): Promise<RedisServer | undefined> => {
    const masters = await redis.masters();
    return masters[replica % masters.length];
  };
  const kill = async (replica: number) => {
    const master = await anyMaster(replica);
    await master?.kill();
    return async () => master?.start();
  };
  return {
    'FLUSHALL on a master': {
      longestMs: 1,
      takes: 'Redis',
      make: async (replica) => {
        await (await anyMaster(replica))?.admin.flushall();
        return () => undefined;
      },
    },
    'kill a master': { longestMs: 3_000, takes: 'Redis', make: kill },
    'kill a master and start it at once': { longestMs: 50, takes: 'Redis', make: kill },
    'promote a replica that has fallen behind': {
      longestMs: 3_000,
      takes: 'Redis',
      make: async (replica) => {
        const master = await anyMaster(replica);
        const heir = master && (await redis.heirOf(master));
        if (heir === undefined) return () => undefined;
        await fallBehind(master!, heir);
        await sleep(200);
        await master!.kill();
        return async () => {
          await master!.start();
          await catchUp(heir);
        };
      },
    },
  };
}
