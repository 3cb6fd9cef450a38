import { readFileSync } from 'node:fs';
import { RecordParts, type KeyRecord } from '#key-core';
import { cacheNames } from '../changes/marker.js';
import { LEASE_TTL_MS, leaseName } from '../quota/lease.js';
import type { Taken } from '../quota/quota-balance.js';
import type { RedisLink, Script } from '../redis-link.js';
import { openEntry, sealEntry, type CacheEntry } from './cache-entry.js';
import {
  CheckLine,
  type CheckCall,
  type CheckReply,
  type OnCheckReply,
  type PreparedCall,
  type SpentReply,
} from './check-line.js';
import { NO_SPENDING, type Spending, type Spent, sharedName, type Sharing } from './spending.js';

const NEGATIVE_TTL_MS = 1_000;

/** A question to the cache. */
export interface Ask {
  keyId: string;
  /** Tag of the entry that is known; `''`: none is, `'*'`: spend whatever the entry is; {@link RecordCache.newerThan}. */
  tag: string;
  epoch: number;
  spending: Spending;
  /** What was just taken for the key's quota from the store, to be put into the lease first. */
  taken?: Taken;
}

export type CacheAnswer =
  | { kind: 'same'; spent: Spent }
  | { kind: 'entry'; entry: CacheEntry }
  | { kind: 'miss'; token: string }
  | { kind: 'forged' }
  | { kind: 'away' };

/** Redis is not to be used now. */
export const AWAY: CacheAnswer = { kind: 'away' };

export interface RecordCacheOptions {
  macKey: Buffer;
  /** How long an entry is used while PostgreSQL can be asked. */
  ttlSeconds: number;
  /** How much longer it is kept, for when PostgreSQL cannot. */
  graceSeconds: number;
}

/** The validation cache and the rate-limit buckets in Redis. Every method answers `away` or nothing where Redis does. */
export class RecordCache {
  private readonly line: CheckLine;
  private readonly fillScript: Script;
  private readonly parts = new RecordParts();

  constructor(
    private readonly link: RedisLink,
    private readonly options: RecordCacheOptions,
  ) {
    this.line = new CheckLine(link);
    this.fillScript = link.script(readFileSync(new URL('./fill.lua', import.meta.url), 'utf8'));
  }

  get isUsable(): boolean {
    return this.link.runs !== null;
  }

  /**
   * Confirms the entry that the caller knows and spends, or hands out the entry that is there, or the right to fill.
   * One round trip.
   *
   * @param whenShort has the answer where the entry is the same, but the lease of the quota too small: nothing is spent until
   *   more is taken
   */
  check(ask: Ask, whenShort: () => CacheAnswer | Promise<CacheAnswer>): Promise<CacheAnswer> {
    const { runs } = this.link;
    if (runs === null) return Promise.resolve(AWAY);
    const call = callOf(ask);
    const { quota } = ask.spending;
    if (quota !== null) call.names.push(leaseName(ask.keyId, quota, runs));
    return new Promise((resolve) => {
      this.line.ask(call, runs, (reply) => {
        if (reply === null) resolve(AWAY);
        else resolve(isShort(reply) ? whenShort() : this.read(ask, reply));
      });
    });
  }

  /** A question to be asked again and again with {@link RecordCache.spendFor}; of no quota. */
  prepare(ask: Ask): PreparedCall {
    return this.line.prepare(callOf(ask));
  }

  /**
   * Spends for who knows the entry and has prepared the call. `done` is told what was spent, where {@link isSpent}; else that is not the
   * entry any more, or Redis is away: {@link RecordCache.check} says more. And it is told `place`, so that one function
   * serves many calls.
   */
  spendFor(call: PreparedCall, done: OnCheckReply, place = 0): void {
    const { runs } = this.link;
    if (runs === null) done(null, place);
    else this.line.ask(call, runs, done, place);
  }

  /** The same where nothing is to be spent. */
  look(ask: Omit<Ask, 'spending'>): Promise<CacheAnswer> {
    return this.check({ ...ask, spending: NO_SPENDING }, () => AWAY);
  }

  /**
   * Takes from limits that keys of a consumer share, from all or from none; a negative cost gives back. They are in
   * another slot of a cluster than the key, hence in a round trip of their own.
   *
   * @returns null where Redis is away
   */
  spendShared(sharing: Sharing, spending: Spending): Promise<Spent | null> {
    const { runs } = this.link;
    if (runs === null) return Promise.resolve(null);
    const owner = `kw:{consumer:${sharing.consumer}}:rl`;
    const buckets = spending.limits.map((limit) => `${owner}:${sharedName(sharing, limit)}`);
    const names = [owner, owner, ...buckets];
    const args = argsOf({ tag: '*', epoch: 0, spending });
    return new Promise((resolve) => {
      this.line.ask({ names, args }, runs, (reply) =>
        resolve(reply === null ? null : spentOf(spending, reply as SpentReply)),
      );
    });
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

  private read({ keyId, spending }: Ask, reply: CheckReply): CacheAnswer {
    if (typeof reply === 'string') {
      const entry = openEntry(this.options.macKey, keyId, reply, this.parts);
      return entry === null ? { kind: 'forged' } : { kind: 'entry', entry };
    }
    return reply[0] === 0
      ? { kind: 'miss', token: reply[1] }
      : { kind: 'same', spent: spentOf(spending, reply) };
  }
}

/** Whether the entry was the one that the caller knew. */
export function isSpent(reply: CheckReply | null): reply is SpentReply {
  return typeof reply === 'object' && reply?.[0] === 1;
}

function isShort(reply: CheckReply): boolean {
  return isSpent(reply) && reply[1] === -1;
}

/** What is sent for a question; a quota needs the name of its lease besides. */
function callOf(ask: Ask): CheckCall & { names: string[] } {
  const { record, fill } = cacheNames(ask.keyId);
  const names = [record, fill];
  for (const { name } of ask.spending.limits) names.push(`kw:{${ask.keyId}}:rl:${name}`);
  return { names, args: argsOf(ask) };
}

function argsOf({ tag, epoch, spending, taken }: Omit<Ask, 'keyId'>): CheckCall['args'] {
  const { limits, quota, cost, isDry } = spending;
  const args = [limits.length, quota === null ? 0 : 1, tag, epoch, cost, isDry ? 0 : 1];
  for (const one of limits) args.push(one.limit, one.windowSeconds * 1_000);
  if (quota !== null) args.push(taken === undefined ? '' : grantOf(taken));
  return args;
}

function grantOf({ units, remaining, refillInMs }: Taken): string {
  return `${units}:${remaining}:${Math.max(1, refillInMs ?? LEASE_TTL_MS)}`;
}

/** What the script's answer says of the limits it was asked for. */
export function spentOf({ limits }: Pick<Spending, 'limits'>, reply: SpentReply): Spent {
  const [, refusal, retryMs] = reply;
  const refusedBy = refusal > limits.length ? 'QUOTA_EXCEEDED' : 'RATE_LIMITED';
  return {
    refusal: refusal === 0 ? null : refusedBy,
    retryMs,
    states: limits.map(({ name, limit }, i) => ({
      name,
      limit,
      remaining: reply[3 + 2 * i]!,
      resetSeconds: Math.ceil(reply[4 + 2 * i]! / 1_000),
    })),
    quotaLeft: reply[3 + 2 * limits.length] ?? null,
  };
}
