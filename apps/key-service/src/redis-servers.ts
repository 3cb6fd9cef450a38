import { Cluster } from 'ioredis';
import type { RedisClient } from '#redis-client';
import { Misdirected } from './redis-answers.js';

/** The servers that answer now: their run ids, which change with every start, and, of a cluster, their node ids. */
export interface Servers {
  runs: readonly string[];
  nodes: readonly string[];
  /** Number of the connection that they answered on. */
  connection: number;
}

/** Asks all masters of a client who they are. @throws Misdirected where the answer is to something else */
export async function serversOf(client: RedisClient): Promise<Omit<Servers, 'connection'>> {
  if (!(client instanceof Cluster))
    return { runs: [runIn(await client.info('server'))], nodes: [] };
  const masters = client.nodes('master');
  const [runs, nodes] = await Promise.all([
    Promise.all(masters.map(async (one) => runIn(await one.info('server')))),
    Promise.all(masters.map(async (one) => nodeIn(await one.call('CLUSTER', 'MYID')))),
  ]);
  if (runs.length === 0) throw new Error('The cluster has no master');
  return { runs: runs.toSorted(), nodes };
}

function runIn(info: unknown): string {
  if (typeof info !== 'string' || !info.includes('redis_version:')) throw new Misdirected();
  const run = /run_id:([0-9a-f]+)/.exec(info)?.[1];
  if (run === undefined) throw new Error('Redis did not tell its run id');
  return run;
}

function nodeIn(answer: unknown): string {
  if (typeof answer !== 'string' || !/^[0-9a-f]{40}$/.test(answer)) throw new Misdirected();
  return answer;
}
