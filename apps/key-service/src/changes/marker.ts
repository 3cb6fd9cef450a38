import { readFileSync } from 'node:fs';
import type { RedisLink } from '../redis-link.js';

/** A key whose verification a mutation changed, with the version it now has. */
export interface TouchedKey {
  keyId: string;
  version: number;
}

/** Names of a key's cache entry and fill token. The braces put both in one slot of a cluster, with its rate limits. */
export function cacheNames(keyId: string): { record: string; fill: string } {
  return { record: `kw:{${keyId}}:rec`, fill: `kw:{${keyId}}:fill` };
}

const script = readFileSync(new URL('./overwrite.lua', import.meta.url), 'utf8');
const MARKER_TTL_MS = 120_000;
/** Sent together: few enough that Redis answers all of them well within a command's time limit. */
const BATCH = 200;

/**
 * Puts a marker ("ask the store") over the cache entries of keys that changed and takes the right to fill from whoever
 * reads them now. Never over a newer version.
 *
 * @returns the run id of the Redis that took all of them, or null where one was not taken for certain
 */
export async function overwriteEntries(
  link: RedisLink,
  keys: readonly TouchedKey[],
  epoch: number,
): Promise<string | null> {
  let run: string | null = null;
  for (let start = 0; start < keys.length; start += BATCH) {
    const taken = await overwriteBatch(link, keys.slice(start, start + BATCH), epoch);
    if (taken === null || (run !== null && run !== taken)) return null;
    run = taken;
  }
  return run;
}

async function overwriteBatch(
  link: RedisLink,
  keys: readonly TouchedKey[],
  epoch: number,
): Promise<string | null> {
  const taken = await Promise.all(
    keys.map(({ keyId, version }) => {
      const { record, fill } = cacheNames(keyId);
      return link.use((client) =>
        client.eval(script, 2, record, fill, version, epoch, MARKER_TTL_MS),
      );
    }),
  );
  const run = taken[0]?.run ?? null;
  return taken.every((one) => one !== null && one.run === run) ? run : null;
}
