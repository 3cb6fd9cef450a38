import type { Cluster } from './cluster.js';
import type { Stores } from './stores.js';

interface LogRow {
  seq: string;
  action: string;
  target_type: string;
  target_id: string;
  key_version: number | null;
}

interface KeyRow {
  id: string;
  version: number;
  state: string;
  current: string;
}

const STATE_AFTER: Record<string, string> = {
  'key.created': 'active',
  'key.enabled': 'active',
  'key.disabled': 'disabled',
  'key.revoked': 'revoked',
};

/**
 * Compares change log, rows and cache when nothing is under way any more.
 *
 * @returns what does not agree, in words; nothing where everything does
 */
export async function disagreements(cluster: Cluster<Stores>): Promise<string[]> {
  const log = await cluster.sql<LogRow>(
    'SELECT seq, action, target_type, target_id, key_version FROM keys.change_log ORDER BY seq',
  );
  const keys = await cluster.sql<KeyRow>(
    `SELECT id, version, state, (SELECT string_agg(number::text, ',') FROM keys.secret
       WHERE key_id = key.id AND valid_until IS NULL) AS current FROM keys.key`,
  );
  const [head] = await cluster.sql<{ seq: string }>('SELECT seq FROM keys.change_head');
  return [
    ...gapsIn(log, Number(head!.seq)),
    ...keys.flatMap((key) => keyAgainstLog(key, log)),
    ...(await cacheAgainstRows(cluster, keys)),
  ];
}

function gapsIn(log: readonly LogRow[], head: number): string[] {
  const gaps = log.flatMap(({ seq }, index) =>
    Number(seq) === index + 1 ? [] : [`number ${seq} stands at place ${index + 1} of the log`],
  );
  return log.length === head ? gaps : [...gaps, `head is ${head}, rows are ${log.length}`];
}

function keyAgainstLog(key: KeyRow, log: readonly LogRow[]): string[] {
  const rows = log.filter((row) => row.target_type === 'key' && row.target_id === key.id);
  const versions = rows.map((row) => row.key_version);
  const isInOrder = versions.every((version, index) => version === index + 1);
  const state = rows.reduce((last, row) => STATE_AFTER[row.action] ?? last, 'unknown');
  const secret = 1 + rows.filter((row) => row.action === 'key.rotated').length;
  return [
    ...(isInOrder && versions.length === key.version
      ? []
      : [`${key.id} is at ${key.version}, its log says ${versions.join()}`]),
    ...(state === key.state ? [] : [`${key.id} is ${key.state}, its log says ${state}`]),
    ...(key.current === String(secret)
      ? []
      : [`${key.id} has the current secrets ${key.current}, its log says ${secret}`]),
  ];
}

async function cacheAgainstRows({ redis, sql }: Cluster<Stores>, keys: readonly KeyRow[]) {
  const [now] = await sql<{ epoch: string }>('SELECT epoch FROM keys.cache_epoch');
  const versions = new Map(keys.map((key) => [key.id, key.version]));
  const names = await redis.names('kw:{*}:rec');
  const wrong = await Promise.all(
    names.map(async (name) => {
      const id = name.slice('kw:{'.length, -'}:rec'.length);
      const entry = await redis.get(name);
      return entry === null ? [] : entryAgainstRow(entry, versions.get(id) ?? 0, now!.epoch);
    }),
  );
  return wrong.flat();
}

/** An entry must not be ahead of its row, and one that is believed not behind it. */
function entryAgainstRow(entry: string, row: number, present: string): string[] {
  const [text, epoch, mac] = entry.split(':');
  const version = Number(text);
  const isBelieved = mac !== '-' && epoch === present;
  if (version < row ? !isBelieved : version === row) return [];
  return [`the cache goes by version ${version} of a key whose row is at ${row}`];
}
