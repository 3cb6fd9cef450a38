import { Cluster, type Redis } from 'ioredis';
import { createRedisClient } from '#redis-client';

/** Asks Redis through a client as the key service has it, and knows what should be answered. */
export interface Asker {
  /** Asks many questions that go together. @returns the share that was answered */
  answered: () => Promise<number>;
  /** Answers so far that belong to another question. */
  mixedUp: readonly unknown[];
  /** Ends one of its connections, as a server does that goes away. */
  loseOne: (place: number) => void;
  close: () => void;
}

/** Of each name several questions, so that those to one server of a cluster are sent in one piece. */
const NAMES = ['{a}', '{b}', '{c}', '{d}', '{e}', '{f}'].flatMap((name) => [name, name, name]);

/** Connects to a Redis of any kind. */
export async function startAsker(url: string): Promise<Asker> {
  const client = createRedisClient(url, { commandTimeoutMs: 1_000 });
  client.on('error', () => undefined);
  await client.connect();
  const mixedUp: unknown[] = [];
  let asked = 0;
  const ask = async (name: string): Promise<number> => {
    const own = String((asked += 1));
    const told = await client.eval('return ARGV[1]', 1, name, own).catch(() => null);
    if (told !== null && told !== own) mixedUp.push({ asked: own, told });
    return told === null ? 0 : 1;
  };
  // a client of one server that is told to end while it looks for that server ends for good
  const connections = (): Redis[] => {
    if (client instanceof Cluster) return client.nodes('master');
    return client.status === 'ready' ? [client] : [];
  };
  return {
    mixedUp,
    answered: async () => {
      const answers = await Promise.all(NAMES.map(ask));
      return answers.reduce((sum, one) => sum + one, 0) / NAMES.length;
    },
    loseOne: (place) => {
      const all = connections();
      all[place % all.length]?.disconnect(true);
    },
    close: () => client.disconnect(),
  };
}
