import type { Verdict } from '#contracts';
import type { Cluster, Replica } from './cluster.js';
import type { Answer } from './http.js';
import type { Stores } from './stores.js';

/** So much of each replica's log is told: the last lines, and how they begin. */
const LINES = 20;
const LINE_LENGTH = 300;

/**
 * What can be seen of a cluster from outside: what each replica answers, has logged and goes by, and what the cache's servers say
 * of themselves. For who has waited in vain, so that the log alone tells for what.
 */
export async function stateOf(
  { replicas, redis, sql }: Cluster<Stores>,
  ask: (replica: number) => Promise<Answer<Verdict>>,
): Promise<string> {
  const answers = await Promise.all(
    replicas.map(async (one, replica) => [
      `replica ${replica} answers ${toldOf(await ask(replica))}`,
      ...logOf(one),
    ]),
  );
  const tables = await Promise.all(['cache_epoch', 'replica'].map((name) => rowsOf(name, sql)));
  return [...answers.flat(), ...tables, await redis.state()].join('\n');
}

function logOf(replica: Replica): string[] {
  const lines = replica.output().trimEnd().split('\n').slice(-LINES);
  return lines.map((line) => line.slice(0, LINE_LENGTH));
}

function toldOf({ status, body, tookMs }: Answer<Verdict>): string {
  const said = status === 200 ? { code: body.code, ...body.decision } : body;
  return `${status} in ${Math.round(tookMs)} ms ${JSON.stringify(said)}`;
}

async function rowsOf(name: string, sql: Cluster<Stores>['sql']): Promise<string> {
  const rows = await sql(`SELECT *, clock_timestamp() AS now FROM keys.${name}`).catch(String);
  return `keys.${name}: ${JSON.stringify(rows)}`;
}
