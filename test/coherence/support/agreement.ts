import { isDeepStrictEqual } from 'node:util';
import { RecordParts, type KeyRecord } from '#key-core';
import { openEntry } from '../../../apps/key-service/src/verify/cache-entry.js';
import type { Cluster } from './cluster.js';
import { readRows, type KeyRow } from './key-rows.js';
import type { Stores } from './stores.js';
import { until } from './world.js';

interface LogRow {
  seq: string;
  action: string;
  target_type: string;
  target_id: string;
  key_version: number | null;
}

const STATE_AFTER: Record<string, string> = {
  'key.created': 'active',
  'key.enabled': 'active',
  'key.disabled': 'disabled',
  'key.revoked': 'revoked',
};

/** Longer than a change of one key that was called for can still be under way: 3 s. */
const QUIET_MS = 4_000;

/** Waits until no change has come for longer than one can be under way, such as one whose caller has given up. */
export async function untilQuiet({ sql }: Cluster<Stores>): Promise<void> {
  let last = { head: await headOf(sql), atMs: performance.now() };
  await until('changes to be over', async () => {
    const head = await headOf(sql);
    if (head !== last.head) last = { head, atMs: performance.now() };
    return performance.now() - last.atMs >= QUIET_MS;
  });
}

/**
 * Compares change log, rows and cache when nothing is under way any more. Where a change comes in the middle of that, which
 * takes several reads, they are compared anew.
 *
 * @returns what does not agree, in words; nothing where everything does
 */
export async function disagreements(cluster: Cluster<Stores>): Promise<string[]> {
  for (;;) {
    const before = await headOf(cluster.sql);
    const found = await compared(cluster, before);
    if ((await headOf(cluster.sql)) === before) return found;
  }
}

async function compared(cluster: Cluster<Stores>, head: number): Promise<string[]> {
  const log = await cluster.sql<LogRow>(
    'SELECT seq, action, target_type, target_id, key_version FROM keys.change_log ORDER BY seq',
  );
  const keys = await readRows(cluster);
  return [
    ...gapsIn(log, head),
    ...keys.flatMap((key) => keyAgainstLog(key, log)),
    ...(await cacheAgainstRows(cluster, keys)),
  ];
}

async function headOf(sql: Cluster<Stores>['sql']): Promise<number> {
  const [head] = await sql<{ seq: string }>('SELECT seq FROM keys.change_head');
  return Number(head!.seq);
}

/** How often some keys were asked about, by what was answered, as far as the replicas have written it. */
export async function usesByCode(
  { sql }: Cluster<Stores>,
  ids: readonly string[],
): Promise<Record<string, number>> {
  const rows = await sql<{ code: string; count: number }>(
    'SELECT code, sum(count)::int AS count FROM keys.usage_by_minute WHERE key_id = ANY ($1) GROUP BY code',
    [ids],
  );
  return Object.fromEntries(rows.map(({ code, count }) => [code, count]));
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
  const current = key.secrets.filter((one) => one.validUntilMs === null).map((one) => one.number);
  return [
    ...(isInOrder && versions.length === key.version
      ? []
      : [`${key.id} is at ${key.version}, its log says ${versions.join()}`]),
    ...(state === key.state ? [] : [`${key.id} is ${key.state}, its log says ${state}`]),
    ...(current.join() === String(secret)
      ? []
      : [`${key.id} has the current secrets ${current.join()}, its log says ${secret}`]),
  ];
}

async function cacheAgainstRows(
  { redis, sql, material }: Cluster<Stores>,
  keys: readonly KeyRow[],
): Promise<string[]> {
  const [now] = await sql<{ epoch: string }>('SELECT epoch FROM keys.cache_epoch');
  const rows = new Map(keys.map((key) => [key.id, key]));
  const names = await redis.names('kw:{*}:rec');
  const wrong = await Promise.all(
    names.map(async (name) => {
      const id = name.slice('kw:{'.length, -'}:rec'.length);
      const text = await redis.get(name);
      if (text === null) return [];
      const entry = { id, text, row: rows.get(id) };
      return entryAgainstRow(entry, Number(now!.epoch), material.cacheKey);
    }),
  );
  return wrong.flat();
}

interface Cached {
  id: string;
  text: string;
  row: KeyRow | undefined;
}

/** An entry must not be ahead of its row; one that is believed is sealed, not behind the row, and says what the row says. */
function entryAgainstRow(cached: Cached, present: number, macKey: Buffer): string[] {
  const { id, text, row } = cached;
  const [version, epoch] = text.split(':', 2).map(Number) as [number, number];
  const isMarker = /^\d+:\d+:-:$/.test(text);
  const at = row?.version ?? 0;
  if (version > at) return [`the cache has version ${version} of ${id}, whose row is at ${at}`];
  if (isMarker || epoch !== present) return [];
  if (version < at) return [`the cache goes by version ${version} of ${id}, whose row is at ${at}`];
  return sayingAgainstRow(cached, macKey);
}

function sayingAgainstRow({ id, text, row }: Cached, macKey: Buffer): string[] {
  const entry = openEntry(macKey, id, text, new RecordParts());
  if (entry === null) return [`the cache has an entry of ${id} that nobody sealed: ${text}`];
  const [held, stored] = [entry.record && partsOf(entry.record), row ? storedOf(row) : null];
  if (isDeepStrictEqual(held, stored)) return [];
  return [
    `the cache says of ${id}: ${JSON.stringify(held)}, its row says ${JSON.stringify(stored)}`,
  ];
}

/** What a record says of who may do what, and until when. */
function partsOf(record: KeyRecord) {
  const { keyId: id, version, state, consumer, consumerEnabled, grants, secrets } = record;
  const { notBeforeMs, expiresAtMs, rateLimits, quota, ipAllowlist } = record;
  return {
    ...{ id, version, state, consumer, consumerEnabled, notBeforeMs, expiresAtMs },
    ...{ rateLimits, quota, ipAllowlist, grants: grants.toSorted(byService) },
    secrets: secrets
      .map(({ number, digest, validUntilMs, isEnded }) => ({
        ...{ number, digest, validUntilMs, isEnded },
      }))
      .toSorted((a, b) => b.number - a.number),
  };
}

/** The same of a row; of its secrets the last two count. */
function storedOf({ grants, secrets, ...row }: KeyRow): ReturnType<typeof partsOf> {
  return {
    ...row,
    grants: grants.toSorted(byService),
    secrets: secrets.toSorted((a, b) => b.number - a.number).slice(0, 2),
  };
}

function byService(a: { service: string }, b: { service: string }): number {
  return a.service < b.service ? -1 : 1;
}
