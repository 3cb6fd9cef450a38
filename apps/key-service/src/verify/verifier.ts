import type { Logger } from 'pino';
import type { Environment, ScopeRequirement, Verdict } from '#contracts';
import {
  decide,
  digestKey,
  matchSecret,
  parseKeyText,
  type Decision,
  type KeyRecord,
  type KeyText,
} from '#key-core';
import type { Fence } from '../changes/fence.js';
import type { KeyMaterial } from '../key-material.js';
import type { CacheEntry } from './cache-entry.js';
import type { LocalLimits } from './local-limits.js';
import { RecordCache, type Spending, type Spent } from './record-cache.js';
import type { RecordStore } from './record-store.js';
import { bareRefusal, verdictOf, type Origin } from './verdict-of.js';

/** A question about a presented key. `isFresh` reads the store whatever the cache holds. */
export interface Question {
  text: string;
  service: string;
  scopes?: ScopeRequirement | undefined;
  environment?: Environment | undefined;
  clientIp?: string | undefined;
  cost: number;
  isDry: boolean;
  isFresh: boolean;
}

export interface VerifierParts {
  store: RecordStore;
  cache: RecordCache | null;
  limits: LocalLimits;
  fence: Fence;
  material: KeyMaterial;
  cacheTtlSeconds: number;
  log: Logger;
}

const MAX_KNOWN = 50_000;
const NO_SPENDING: Spending = { limits: [], cost: 0, isDry: true };

/**
 * Answers whether a key may do what is asked.
 *
 * A key whose record this process has parsed before costs one Redis round trip: it decides by that record, and one script
 * confirms that the record is still the cached one and spends the limits. Nothing is believed that Redis does not confirm,
 * and nothing in Redis unless the fence vouches for it; else PostgreSQL is asked.
 */
export class Verifier {
  /** Records parsed before, by key id; never used unconfirmed. The oldest go first. */
  private readonly known = new Map<string, CacheEntry>();

  constructor(private readonly parts: VerifierParts) {}

  /** @throws an outage error where neither cache nor store can decide: the caller must answer 503 */
  async verify(question: Question): Promise<Verdict> {
    const key = parseKeyText(question.text);
    if (key === null) return bareRefusal('MALFORMED', this.originNow());
    const epoch = this.parts.fence.trustedEpoch();
    if (question.isFresh || epoch === null) return this.fromStore(key, question, null);
    return this.fromCache(key, question, epoch);
  }

  private async fromCache(key: KeyText, question: Question, epoch: number): Promise<Verdict> {
    const { cache } = this.parts;
    if (cache === null || !cache.isUsable) return this.fromStore(key, question, null);
    const known = this.known.get(key.keyId);
    // an entry that is handed out is confirmed, and the limits spent, by asking again: at most once
    const verdict =
      known?.epoch === epoch && known.asOfMs >= this.oldestMs(key)
        ? await this.ask(key, question, known)
        : null;
    return verdict ?? (await this.askAnew(key, question, epoch));
  }

  private async askAnew(key: KeyText, question: Question, epoch: number): Promise<Verdict> {
    const unknown = RecordCache.newerThan(this.oldestMs(key));
    const answer = await this.parts.cache!.check(key.keyId, unknown, epoch, NO_SPENDING);
    if (answer.kind === 'entry') {
      this.remember(key.keyId, answer.entry);
      return (await this.ask(key, question, answer.entry)) ?? this.fromStore(key, question, null);
    }
    if (answer.kind === 'forged') {
      this.parts.log.error(
        { keyId: key.keyId },
        'a cache entry was not sealed by us, or by another release, and is dropped',
      );
      await this.parts.cache!.drop(key.keyId);
    }
    return this.fromStore(key, question, answer.kind === 'miss' ? answer.token : null);
  }

  /** The verdict by a known entry, or null where Redis does not confirm it. */
  private async ask(key: KeyText, question: Question, known: CacheEntry): Promise<Verdict | null> {
    const judged = this.judge(known.record, key, question);
    const spending = judged.spending ?? NO_SPENDING;
    const answer = await this.parts.cache!.check(key.keyId, known.tag, known.epoch, spending);
    switch (answer.kind) {
      case 'same':
        return this.answer(judged, answer.spent, this.originOf(known, 'cache'));
      case 'miss':
        return this.fromStore(key, question, answer.token);
      case 'away':
        return this.fromStore(key, question, null);
      default:
        return null;
    }
  }

  private async fromStore(
    key: KeyText,
    question: Question,
    token: string | null,
  ): Promise<Verdict> {
    const { store, cache, fence } = this.parts;
    let read;
    try {
      read = await store.read(key.keyId);
    } catch (error) {
      return this.inGrace(key, question, error);
    }
    if (token !== null && token !== '') {
      const filled = cache!.fill(key.keyId, token, read);
      filled.catch((error: unknown) =>
        this.parts.log.warn({ err: error }, 'a cache entry could not be filled'),
      );
    }
    const origin: Origin = {
      source: 'store',
      asOfMs: read.asOfMs,
      ttlSeconds: this.parts.cacheTtlSeconds,
    };
    const judged = this.judge(read.record, key, question);
    if (judged.record === null || judged.decision.code !== 'VALID')
      return this.answer(judged, null, origin);
    return this.answer(
      judged,
      await this.spend(judged.record, judged.spending, fence.trustedEpoch()),
      origin,
    );
  }

  /** PostgreSQL does not answer: what the cache holds may go on for the grace; what it does not hold nobody can decide. */
  private async inGrace(key: KeyText, question: Question, cause: unknown): Promise<Verdict> {
    const epoch = this.parts.fence.noteDatabaseAway();
    const { cache } = this.parts;
    if (epoch === null || question.isFresh || !cache?.isUsable) throw cause;
    const answer = await cache.check(key.keyId, '', epoch, NO_SPENDING);
    if (answer.kind !== 'entry') throw cause;
    const judged = this.judge(answer.entry.record, key, question);
    const spent =
      judged.record === null || judged.decision.code !== 'VALID'
        ? null
        : await this.spend(judged.record, judged.spending, epoch);
    return this.answer(judged, spent, this.originOf(answer.entry, 'cache'));
  }

  private async spend(record: KeyRecord, spending: Spending, epoch: number | null): Promise<Spent> {
    const { cache, limits, fence, material } = this.parts;
    if (spending.limits.length === 0) return { refusedBy: 0, retryMs: 0, states: [] };
    if (cache !== null) {
      const answer = await cache.check(record.keyId, '*', epoch ?? 0, spending);
      if (answer.kind === 'same') return answer.spent;
    }
    return limits.spend(record.keyId, spending, {
      replicas: fence.replicas,
      nowMs: material.now(),
    });
  }

  private judge(record: KeyRecord | null, key: KeyText, question: Question): Judged {
    const { peppers, now } = this.parts.material;
    const secret = matchSecret(record, (version) => {
      const pepper = peppers.get(version);
      return pepper && digestKey(pepper, key.text);
    });
    if (record === null || secret === null) return { record: null };
    const decision = decide(record, secret, requestOf(question), now());
    const spends = decision.code === 'VALID';
    return {
      record,
      decision,
      secretNumber: secret.number,
      spending: {
        limits: spends ? record.rateLimits : [],
        cost: question.cost,
        isDry: question.isDry,
      },
    };
  }

  private answer(judged: Judged, spent: Spent | null, origin: Origin): Verdict {
    // NOT_FOUND is one answer: unknown id, wrong secret, another audience's key
    if (judged.record === null || judged.decision.code === 'NOT_FOUND')
      return bareRefusal('NOT_FOUND', origin);
    const { record, decision, secretNumber } = judged;
    const paid = decision.code === 'VALID' ? spent : null;
    return { ...verdictOf(record, decision, origin, paid), secretNumber };
  }

  /**
   * An entry that was read from the store before this is read anew, as long as there is a store to read. Not the same for all
   * keys, so that those which were read together do not come again together.
   */
  private oldestMs({ keyId }: KeyText): number {
    const { fence, material, cacheTtlSeconds } = this.parts;
    if (fence.isDatabaseAway) return 0;
    const lifeMs = cacheTtlSeconds * (1_000 - 3 * (keyId.charCodeAt(keyId.length - 1) % 32));
    return Math.floor(material.now()) - lifeMs;
  }

  private remember(keyId: string, entry: CacheEntry): void {
    this.known.delete(keyId);
    this.known.set(keyId, entry);
    if (this.known.size > MAX_KNOWN) this.known.delete(this.known.keys().next().value!);
  }

  private originNow(): Origin {
    return {
      source: 'store',
      asOfMs: this.parts.material.now(),
      ttlSeconds: this.parts.cacheTtlSeconds,
    };
  }

  private originOf(entry: CacheEntry, source: 'cache'): Origin {
    const ageSeconds = Math.floor((this.parts.material.now() - entry.asOfMs) / 1_000);
    return {
      source,
      asOfMs: entry.asOfMs,
      ttlSeconds: Math.max(0, this.parts.cacheTtlSeconds - ageSeconds),
    };
  }
}

/** What a record says to a question; no record where the id is unknown or the secret is not the key's. */
type Judged =
  | { record: null; spending?: never }
  | { record: KeyRecord; decision: Decision; secretNumber: number; spending: Spending };

function requestOf({ service, scopes, environment, clientIp }: Question) {
  return {
    service,
    ...(scopes !== undefined && { scopes }),
    ...(environment !== undefined && { environment }),
    ...(clientIp !== undefined && { clientIp }),
  };
}
