import type { KeyRecord, SecretRecord } from '#key-core';
import type { Counted } from '../usage/usage-buffer.js';
import type { CacheEntry } from './cache-entry.js';
import type { CheckCall, SpentReply } from './check-line.js';
import { inOnePiece } from './in-one-piece.js';
import { callOf } from './record-cache.js';
import { verdictOf } from './verdict-of.js';

/** A service that asks about a secret of an entry's key. */
export interface UsualAsk {
  keyId: string;
  record: KeyRecord;
  secret: SecretRecord;
  service: string;
}

/**
 * What is the same in all good answers of one unit about one secret of a key, as long as its record is: the question to
 * Redis, what to count, and the text but for what is left of the limits and the age of the record.
 */
export interface Usual {
  service: string;
  entry: CacheEntry;
  call: CheckCall;
  counted: Counted;
  /** Texts before what is left of each limit. */
  limits: readonly string[];
  /** Before the seconds that the record still lives. */
  decision: string;
  end: string;
}

/** Whether answers about it can be prepared: no quota, whose lease may be short, no limit shared with others, no old secret. */
export function isUsual({ quota, rateLimits }: KeyRecord, { validUntilMs }: SecretRecord): boolean {
  return (
    quota === null &&
    validUntilMs === null &&
    rateLimits.every(({ sharedBy }) => sharedBy === undefined)
  );
}

/** For a key and service of which the decision is VALID, where {@link isUsual}. */
export function usualOf(entry: CacheEntry, { keyId, record, secret, service }: UsualAsk): Usual {
  const { tag, epoch, asOfMs } = entry;
  const spending = { limits: record.rateLimits, quota: null, cost: 1, isDry: false };
  const scopes = record.grants.find((one) => one.service === service)?.scopes ?? [];
  const { decision, ...verdict } = verdictOf({
    record,
    secret,
    decision: { code: 'VALID', scopes },
    origin: { source: 'cache', asOfMs, ttlSeconds: 0, isStale: false },
    spent: null,
    cost: 1,
    nowMs: asOfMs,
  });
  const start = JSON.stringify(verdict).slice(0, -1);
  const limits = record.rateLimits.map(({ name, limit }, i) => {
    const before = i === 0 ? `${start},"rateLimits":[` : ',';
    return inOnePiece(`${before}{"name":${JSON.stringify(name)},"limit":${limit},"remaining":`);
  });
  const { source, asOf, version } = decision;
  const before = `${limits.length === 0 ? start : ']'},"decision":{"source":"${source}","asOf":"${asOf}","ttlSeconds":`;
  const { names, args } = callOf({ keyId, tag, epoch, spending });
  return {
    service,
    entry,
    // copies have no room to grow
    call: { names: names.slice(), args: args.slice() },
    counted: {
      keyId,
      secretNumber: secret.number,
      superseded: false,
      service,
      code: 'VALID',
      last: undefined,
    },
    limits,
    decision: inOnePiece(before),
    end: inOnePiece(`,"version":${version}}}`),
  };
}

/** The text of an answer, after what was spent. */
export function usualText(usual: Usual, reply: SpentReply, ttlSeconds: number): string {
  const { limits, decision, end } = usual;
  let text = '';
  for (let i = 0; i < limits.length; i += 1)
    text += `${limits[i]}${reply[3 + 2 * i]},"resetSeconds":${Math.ceil(reply[4 + 2 * i]! / 1_000)}}`;
  return `${text}${decision}${ttlSeconds}${end}`;
}
