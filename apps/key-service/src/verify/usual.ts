import type { Decision, KeyRecord, SecretRecord } from '#key-core';
import type { Counted } from '../usage/usage-buffer.js';
import type { CacheEntry } from './cache-entry.js';
import type { PreparedCall, SpentReply } from './check-line.js';
import type { SharedTexts } from './kept-texts.js';
import type { RecordCache } from './record-cache.js';
import { verdictOf } from './verdict-of.js';

/** A service that asks about a secret of an entry's key. */
export interface UsualAsk {
  cache: Pick<RecordCache, 'prepare'>;
  keyId: string;
  record: KeyRecord;
  secret: SecretRecord;
  service: string;
}

/**
 * What is the same in all good answers of one unit about one secret of a key, as long as its record is: the question to
 * Redis, what to count, and the text but for what is left of the limits and the age of the record.
 */
export interface Usual extends AnswerTexts {
  service: string;
  entry: CacheEntry;
  secret: SecretRecord;
  call: PreparedCall;
  counted: Counted;
}

/** An answer's text but for the id of the key, what is left of the limits, and the age of the record. */
interface AnswerTexts {
  /** Before the id. */
  start: string;
  /** Before what is left of each limit; the first begins after the id. */
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

/**
 * For a key and service of which the decision is VALID, where {@link isUsual}.
 *
 * @param texts nearly all that is kept of an answer is the same for many keys, but for the id
 */
export function usualOf(entry: CacheEntry, ask: UsualAsk, texts: SharedTexts): Usual {
  const { cache, keyId, record, secret, service } = ask;
  const { tag, epoch } = entry;
  const spending = { limits: record.rateLimits, quota: null, cost: 1, isDry: false };
  return {
    service,
    entry,
    secret,
    call: cache.prepare({ keyId, tag, epoch, spending }),
    counted: {
      keyId,
      secretNumber: secret.number,
      superseded: false,
      service,
      code: 'VALID',
      last: undefined,
    },
    ...answerOf(entry, ask, texts),
  };
}

function answerOf(
  { asOfMs }: CacheEntry,
  { keyId, record, secret, service }: UsualAsk,
  texts: SharedTexts,
): AnswerTexts {
  const { decision, ...verdict } = verdictOf({
    record,
    secret,
    decision: decisionOf(record, service),
    origin: { source: 'cache', asOfMs, ttlSeconds: 0, isStale: false },
    spent: null,
    cost: 1,
    nowMs: asOfMs,
  });
  const told = JSON.stringify(verdict).slice(0, -1);
  const idAt = told.indexOf(keyId);
  const afterId = told.slice(idAt + keyId.length);
  const limits = record.rateLimits.map(({ name, limit }, i) => {
    const before = i === 0 ? `${afterId},"rateLimits":[` : ',';
    return texts.of(`${before}{"name":${JSON.stringify(name)},"limit":${limit},"remaining":`);
  });
  const { source, asOf, version } = decision;
  const before = limits.length === 0 ? afterId : ']';
  return {
    start: texts.of(told.slice(0, idAt)),
    limits,
    decision: texts.of(`${before},"decision":{"source":"${source}","asOf":"${asOf}","ttlSeconds":`),
    end: texts.of(`,"version":${version}}}`),
  };
}

/** That for which an answer is prepared. */
export function decisionOf(record: KeyRecord, service: string): Decision {
  const scopes = record.grants.find((one) => one.service === service)?.scopes ?? [];
  return { code: 'VALID', scopes };
}

/** The text of an answer, after what was spent. */
export function usualText(usual: Usual, reply: SpentReply, ttlSeconds: number): string {
  const { start, counted, limits, decision, end } = usual;
  let text = start + counted.keyId;
  for (let i = 0; i < limits.length; i += 1)
    text += `${limits[i]}${reply[3 + 2 * i]},"resetSeconds":${Math.ceil(reply[4 + 2 * i]! / 1_000)}}`;
  return `${text}${decision}${ttlSeconds}${end}`;
}
