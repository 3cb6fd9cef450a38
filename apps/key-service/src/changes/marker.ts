import { readFileSync } from 'node:fs';
import type { RedisLink, Script } from '../redis-link.js';

/** A key whose verification a mutation changed, with the version it now has. */
export interface TouchedKey {
  keyId: string;
  version: number;
}

/** Names of a key's cache entry and fill token. The braces put both in one slot of a cluster, with its rate limits. */
export function cacheNames(keyId: string): { record: string; fill: string } {
  return { record: `kw:{${keyId}}:rec`, fill: `kw:{${keyId}}:fill` };
}

const MARKER_TTL_MS = 120_000;
/** A mutation waits this long for Redis: raising the epoch instead takes as long, and makes the whole cache cold. */
const PATIENCE_MS = 250;
/** Sent together: few enough that Redis answers all of them well within a command's time limit. */
const BATCH = 200;

/** Writes markers ("ask the store") over the cache entries of keys that changed. */
export class Markers {
  private readonly overwrite: Script;

  constructor(private readonly link: RedisLink) {
    const lua = readFileSync(new URL('./overwrite.lua', import.meta.url), 'utf8');
    this.overwrite = link.script(lua, { patienceMs: PATIENCE_MS });
  }

  /** Whether Redis may be used now. */
  get isUsable(): boolean {
    return this.link.runs !== null;
  }

  /**
   * Puts markers over the entries and takes the right to fill from whoever reads these keys now. Never over a newer version.
   *
   * @returns the run ids of the servers that took all of them, or null where one was not taken for certain. Of none, those in use
   */
  async write(keys: readonly TouchedKey[], epoch: number): Promise<readonly string[] | null> {
    let runs = keys.length === 0 ? this.link.runs : null;
    for (let start = 0; start < keys.length; start += BATCH) {
      const taken = await this.writeBatch(keys.slice(start, start + BATCH), epoch);
      if (taken === null || (runs !== null && runs !== taken)) return null;
      runs = taken;
    }
    return runs;
  }

  private async writeBatch(
    keys: readonly TouchedKey[],
    epoch: number,
  ): Promise<readonly string[] | null> {
    const taken = await Promise.all(
      keys.map(({ keyId, version }) => {
        const { record, fill } = cacheNames(keyId);
        return this.overwrite<number>([record, fill], [version, epoch, MARKER_TTL_MS]);
      }),
    );
    const runs = taken[0]?.runs ?? null;
    return taken.every((one) => one !== null && one.runs === runs) ? runs : null;
  }
}
