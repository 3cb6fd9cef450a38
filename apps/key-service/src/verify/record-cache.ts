import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { KeyRecord } from '#key-core';
import type { RateLimit } from '#contracts';
import { cacheNames } from '../changes/marker.js';
import type { RedisLink, Script } from '../redis-link.js';
import { openEntry, sealEntry, type CacheEntry } from './cache-entry.js';

const TOKEN_TTL_MS = 5_000;
const NEGATIVE_TTL_MS = 1_000;

/** What a limit script answered: which limit refused (0 none), how long to wait, and the state of each. */
export interface Spent {
  refusedBy: number;
  retryMs: number;
  states: { remaining: number; resetMs: number }[];
}

/** Units to take from a key's limits; `isDry` only looks. */
export interface Spending {
  limits: readonly RateLimit[];
  cost: number;
  isDry: boolean;
}

export type CacheAnswer =
  | { kind: 'same'; spent: Spent }
  | { kind: 'entry'; entry: CacheEntry }
  | { kind: 'miss'; token: string }
  | { kind: 'forged' }
  | { kind: 'away' };

type Reply = string | [1, number, number, ...number[]] | [0, string];

const lua = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

export interface RecordCacheOptions {
  macKey: Buffer;
  /** How long an entry is used while PostgreSQL can be asked. */
  ttlSeconds: number;
  /** How much longer it is kept, for when PostgreSQL cannot. */
  graceSeconds: number;
}

/** The validation cache and the rate-limit buckets in Redis. Every method answers `away` or nothing where Redis does. */
export class RecordCache {
  private readonly checkScript: Script;
  private readonly fillScript: Script;

  constructor(
    private readonly link: RedisLink,
    private readonly options: RecordCacheOptions,
  ) {
    this.checkScript = link.script(lua('./check.lua'));
    this.fillScript = link.script(lua('./fill.lua'));
  }

  get isUsable(): boolean {
    return this.link.runs !== null;
  }

  /**
   * Confirms the entry that the caller knows and spends, or hands out the entry that is there, or the right to fill.
   * One round trip. `tag` `''`: none is known; `'*'`: spend whatever the entry is; {@link RecordCache.newerThan}.
   */
  async check(keyId: string, tag: string, epoch: number, spending: Spending): Promise<CacheAnswer> {
    const { record, fill } = cacheNames(keyId);
    const { limits, cost, isDry } = spending;
    const buckets = limits.map((one) => `kw:{${keyId}}:rl:${one.name}`);
    const sizes = limits.flatMap((one) => [one.limit, one.windowSeconds * 1_000]);
    const token = tag === '*' ? '' : randomBytes(12).toString('base64url');
    const done = await this.checkScript<Reply>(
      [record, fill, ...buckets],
      [tag, epoch, token, TOKEN_TTL_MS, cost, isDry ? 0 : 1, ...sizes],
    );
    return done === null ? { kind: 'away' } : this.read(keyId, done.answer);
  }

  /** The tag for where none is known, which hands out no entry that was read from the store before `oldestMs`. */
  static newerThan(oldestMs: number): string {
    return `>${oldestMs}`;
  }

  /** Puts a record that was read while `token` was held into the cache. Not certain, and need not be. */
  async fill(
    keyId: string,
    token: string,
    entry: { record: KeyRecord | null; epoch: number; asOfMs: number },
  ): Promise<void> {
    const { record, fill } = cacheNames(keyId);
    const version = entry.record?.version ?? 0;
    const text = sealEntry(this.options.macKey, keyId, { ...entry, version });
    const { ttlSeconds, graceSeconds } = this.options;
    const keptMs = entry.record === null ? NEGATIVE_TTL_MS : (ttlSeconds + graceSeconds) * 1_000;
    await this.fillScript([record, fill], [token, version, entry.epoch, text, keptMs]);
  }

  /** Takes an entry away that nobody sealed. */
  async drop(keyId: string): Promise<void> {
    await this.link.delete(cacheNames(keyId).record);
  }

  private read(keyId: string, reply: Reply): CacheAnswer {
    if (typeof reply === 'string') {
      const entry = openEntry(this.options.macKey, keyId, reply);
      return entry === null ? { kind: 'forged' } : { kind: 'entry', entry };
    }
    if (reply[0] === 0) return { kind: 'miss', token: reply[1] };
    const [, refusedBy, retryMs, ...numbers] = reply;
    const states = Array.from({ length: numbers.length / 2 }, (_, i) => ({
      remaining: numbers[2 * i]!,
      resetMs: numbers[2 * i + 1]!,
    }));
    return { kind: 'same', spent: { refusedBy, retryMs, states } };
  }
}
