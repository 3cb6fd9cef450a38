import type { Logger } from 'pino';
import type { Environment, ScopeRequirement, Verdict } from '#contracts';
import { decide, type Decision, type KeyRecord, type SecretRecord } from '#key-core';
import type { Fence } from '../changes/fence.js';
import type { KeyMaterial } from '../key-material.js';
import type { Usage } from '../usage/usage.js';
import type { CacheEntry } from './cache-entry.js';
import { UnknownImport, type ForeignKeys, type PresentedKey } from './foreign-keys.js';
import type { KnownRecords } from './known-records.js';
import type { PresentedTexts } from './presented-texts.js';
import { RecordCache } from './record-cache.js';
import { StoreBusy, type RecordStore } from './record-store.js';
import type { SecretUpgrades } from './secret-upgrades.js';
import type { Spender } from './spender.js';
import { NO_SPENDING, type Spending, type Spent } from './spending.js';
import { bareRefusal, busyRefusal, verdictOf, type Origin } from './verdict-of.js';

/** A question about a presented key. */
export interface Question {
  text: string;
  service: string;
  scopes?: ScopeRequirement | undefined;
  environment?: Environment | undefined;
  clientIp?: string | undefined;
  /** Units to take from limits and quota; 0 asks whatever they are. */
  cost: number;
  /** Only looks whether the units are there. */
  isDry: boolean;
  /** Reads the store whatever the cache holds. */
  isFresh: boolean;
}

export interface VerifierParts {
  store: RecordStore;
  cache: RecordCache | null;
  spender: Spender;
  fence: Fence;
  usage: Pick<Usage, 'count'>;
  foreign: ForeignKeys;
  known: KnownRecords;
  texts: PresentedTexts;
  upgrades: SecretUpgrades;
  material: KeyMaterial;
  log: Logger;
}

/** A key that the presented secret opens, and what was decided on it. */
export interface OpenedKey {
  record: KeyRecord;
  secret: SecretRecord;
  decision: Decision;
}

/** What a record says to a question; nothing opened where the id is unknown or the secret is not the key's. */
interface Judged {
  opened: OpenedKey | null;
  spending: Spending;
}

interface Answer {
  opened: OpenedKey | null;
  /** Null where it did not come to limits. */
  spent: Spent | null;
  origin: Origin;
}

interface Told {
  verdict: Verdict;
  record: KeyRecord | null;
}

/**
 * Answers whether a key may do what is asked.
 *
 * A key whose record this process has parsed before costs one Redis round trip: it decides by that record, and one script
 * confirms that the record is still the cached one and spends the limits. Nothing is believed that Redis does not confirm,
 * and nothing in Redis unless the fence vouches for it; else PostgreSQL is asked.
 */
export class Verifier {
  constructor(private readonly parts: VerifierParts) {}

  /** @throws an outage error where neither cache nor store can decide: the caller must answer 503 */
  verify(question: Question): Promise<Verdict> {
    return this.answerTo(question).then((answer) => {
      const { verdict } = this.told(answer, question.cost);
      this.parts.usage.count(question, verdict);
      return verdict;
    });
  }

  /** The same without counting it as usage, and with the record that was gone by where the verdict says anything of the key. */
  decideOn(question: Question): Promise<Told> {
    return this.answerTo(question).then((answer) => this.told(answer, question.cost));
  }

  private told(answer: Answer | 'busy' | null, cost: number): Told {
    const nowMs = this.parts.material.now();
    if (answer === null)
      return { verdict: bareRefusal('MALFORMED', this.originOf(nowMs)), record: null };
    if (answer === 'busy') return { verdict: busyRefusal(this.originOf(nowMs)), record: null };
    const { opened, spent, origin } = answer;
    // NOT_FOUND is one answer: unknown id, wrong secret, another audience's key
    if (opened === null || opened.decision.code === 'NOT_FOUND')
      return { verdict: bareRefusal('NOT_FOUND', origin), record: null };
    return { verdict: verdictOf({ ...opened, spent, origin, cost, nowMs }), record: opened.record };
  }

  /**
   * The key itself where it may do what is asked, else null. Takes nothing from limits, but counts as usage: who is asked by
   * this way only uses the key no less.
   *
   * @throws as {@link Verifier.verify}
   */
  async look(question: Omit<Question, 'cost' | 'isDry'>): Promise<OpenedKey | null> {
    const answer = await this.answerTo({ ...question, cost: 0, isDry: true }, false);
    this.parts.usage.count({ ...question, isDry: false }, this.told(answer, 0).verdict);
    if (answer === 'busy') throw new Error('Too many imported keys are being looked at');
    const opened = answer?.opened;
    if (opened?.decision.code !== 'VALID') return null;
    this.noteUse({ keyId: opened.record.keyId, text: question.text }, opened.secret);
    return opened;
  }

  /**
   * First as a key of ours, which costs less; then as one that another platform may have made. Null where it is neither.
   *
   * @param isDry whether keys count that are on trial only
   */
  private answerTo(question: Question, isDry = question.isDry): Promise<Answer | 'busy' | null> {
    const key = this.parts.texts.read(question.text);
    if (key === null) return this.asForeign(question, isDry, null);
    if (!isDry && this.parts.foreign.mayBeHeld(question)) return this.unlessHeld(key, question);
    return this.asOurs(key, question, isDry);
  }

  /** A key that is held back is none: nothing is taken from its limits, and it is not used. */
  private async unlessHeld(key: PresentedKey, question: Question): Promise<Answer | 'busy' | null> {
    const own = await this.answer(key, { ...question, cost: 0, isDry: true });
    const { opened, origin } = own;
    // asked again it may have a digest of ours by now, and be held back
    if (opened === null) return this.asForeign(question, false, own);
    const isHeld = this.parts.foreign.isHeld(opened.record, question.service);
    if (!isHeld) return this.asOurs(key, question, false);
    this.parts.foreign.requireKnown(opened.record, question.service);
    return { opened: null, spent: null, origin };
  }

  private asOurs(
    key: PresentedKey,
    question: Question,
    isDry: boolean,
  ): Promise<Answer | 'busy' | null> {
    try {
      return this.answer(key, question).then((own) =>
        own.opened === null ? this.asForeign(question, isDry, own) : own,
      );
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private async asForeign(
    question: Question,
    isDry: boolean,
    own: Answer | null,
  ): Promise<Answer | 'busy' | null> {
    const { foreign, material } = this.parts;
    const given = { ...question, isDry };
    if (!foreign.mayBe(given)) return own;
    const found = await foreign.find(given);
    if (found === 'busy') return found;
    if (found === 'unknown') throw new UnknownImport();
    if (found !== null) return this.answer(found, question);
    return own ?? { opened: null, spent: null, origin: this.originOf(material.now()) };
  }

  private answer(key: PresentedKey, question: Question): Promise<Answer> {
    const { cache, fence } = this.parts;
    const epoch = fence.trustedEpoch();
    if (question.isFresh || epoch === null || !cache?.isUsable)
      return this.fromStore(key, question, null);
    return this.fromCache(key, question, epoch);
  }

  private fromCache(key: PresentedKey, question: Question, epoch: number): Promise<Answer> {
    const known = this.parts.known.entryOf(key.keyId, epoch);
    if (known === undefined) return this.askAnew(key, question, epoch);
    return this.ask({ key, question, known }, () => this.askAnew(key, question, epoch));
  }

  private async askAnew(key: PresentedKey, question: Question, epoch: number): Promise<Answer> {
    const { cache, known, log } = this.parts;
    const { keyId } = key;
    const tag = RecordCache.newerThan(known.oldestMs(keyId));
    const found = await cache!.look({ keyId, tag, epoch });
    if (found.kind === 'entry') {
      known.remember(keyId, found.entry);
      // an entry that is handed out is confirmed, and the limits spent, by asking again: at most once
      return this.ask({ key, question, known: found.entry }, () =>
        this.fromStore(key, question, null),
      );
    }
    if (found.kind === 'forged') {
      log.error({ keyId }, 'a cache entry was not sealed by us, or by another version: dropped');
      await cache!.drop(keyId);
    }
    return this.fromStore(key, question, found.kind === 'miss' ? found.token : null);
  }

  /** The answer by a known entry. One promise, as most verifications come this way. */
  private ask(
    { key, question, known }: { key: PresentedKey; question: Question; known: CacheEntry },
    whereNotConfirmed: () => Promise<Answer>,
  ): Promise<Answer> {
    const { keyId } = key;
    const { opened, spending } = this.judge(known.record, key, question);
    const { tag, epoch, record } = known;
    const asked = { keyId, tag, epoch, spending };
    const sharing = { consumer: record?.consumer ?? '', service: question.service };
    return this.parts.spender.confirm(asked, sharing).then((found) => {
      switch (found.kind) {
        case 'same':
          return { opened, spent: found.spent, origin: this.originOf(known.asOfMs, 'cache') };
        case 'miss':
          return this.fromStore(key, question, found.token);
        case 'away':
          return this.fromStore(key, question, null);
        default:
          return whereNotConfirmed();
      }
    });
  }

  private async fromStore(
    key: PresentedKey,
    question: Question,
    token: string | null,
  ): Promise<Answer> {
    const { store, cache, log } = this.parts;
    let read;
    try {
      read = await store.read(key.keyId, question.service);
    } catch (error) {
      if (error instanceof StoreBusy) throw error;
      return this.inGrace(key, question, error);
    }
    if (token !== null && token !== '') {
      const filled = cache!.fill(key.keyId, token, read);
      filled.catch((error: unknown) => log.warn({ err: error }, 'a cache entry was not filled'));
    }
    return this.spendFor(key, question, {
      record: read.record,
      origin: this.originOf(read.asOfMs),
    });
  }

  /** PostgreSQL does not answer: what the cache holds may go on for the grace; what it does not hold nobody can decide. */
  private async inGrace(key: PresentedKey, question: Question, cause: unknown): Promise<Answer> {
    const epoch = this.parts.fence.noteDatabaseAway();
    const { cache } = this.parts;
    if (epoch === null || question.isFresh || !cache?.isUsable) throw cause;
    const { keyId } = key;
    const found = await cache.look({ keyId, tag: '', epoch });
    if (found.kind !== 'entry') throw cause;
    const { record, asOfMs } = found.entry;
    return this.spendFor(key, question, { record, origin: this.originOf(asOfMs, 'cache') });
  }

  /** The answer by a record that was just read. */
  private async spendFor(
    key: PresentedKey,
    question: Question,
    { record, origin }: { record: KeyRecord | null; origin: Origin },
  ): Promise<Answer> {
    const { opened, spending } = this.judge(record, key, question);
    if (opened?.decision.code !== 'VALID') return { opened, spent: null, origin };
    const { keyId, consumer } = opened.record;
    const owner = { keyId, consumer, service: question.service };
    const spent = await this.parts.spender.spend(owner, spending);
    return spent === null ? this.fromStore(key, question, null) : { opened, spent, origin };
  }

  private judge(record: KeyRecord | null, key: PresentedKey, question: Question): Judged {
    const { now } = this.parts.material;
    const secret = this.parts.texts.secretIn(record, key);
    if (record === null || secret === null) return { opened: null, spending: NO_SPENDING };
    const decision = decide(record, secret, question, now());
    const { cost, isDry } = question;
    const isValid = decision.code === 'VALID';
    if (isValid && !isDry) this.noteUse(key, secret);
    const spends = isValid && cost > 0;
    const { rateLimits: limits, quota } = record;
    return {
      opened: { record, secret, decision },
      spending: spends ? { limits, quota, cost, isDry } : NO_SPENDING,
    };
  }

  private noteUse({ keyId, text }: PresentedKey, secret: SecretRecord): void {
    const { number: secretNumber, pepperVersion } = secret;
    this.parts.upgrades.used({ keyId, secretNumber, pepperVersion, text });
  }

  private originOf(asOfMs: number, source: Origin['source'] = 'store'): Origin {
    return this.parts.known.originOf(asOfMs, source);
  }
}
