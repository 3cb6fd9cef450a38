import { decide } from '#key-core';
import type { OnAnswer } from '#server';
import type { Fence } from '../changes/fence.js';
import type { KeyMaterial } from '../key-material.js';
import type { Usage } from '../usage/usage.js';
import type { CacheEntry } from './cache-entry.js';
import type { OnCheckReply, SpentReply } from './check-line.js';
import type { ForeignKeys } from './foreign-keys.js';
import { SharedTexts } from './kept-texts.js';
import type { KnownRecords } from './known-records.js';
import type { Opened, PresentedTexts } from './presented-texts.js';
import { isSpent, spentOf, type RecordCache } from './record-cache.js';
import { unavailable } from './unavailable.js';
import { decisionOf, isUsual, usualOf, usualText, type Usual } from './usual.js';
import { verdictOf } from './verdict-of.js';
import type { Question, Verifier } from './verifier.js';

export interface SwiftVerifierParts {
  verifier: Verifier;
  cache: RecordCache | null;
  fence: Pick<Fence, 'trustedEpoch'>;
  known: KnownRecords;
  texts: PresentedTexts;
  foreign: Pick<ForeignKeys, 'isHeld'>;
  usage: Pick<Usage, 'add' | 'count'>;
  material: Pick<KeyMaterial, 'now'>;
}

/** Called once: with good answers' texts, or null and what went wrong. */
export type OnAnswers = (texts: readonly string[] | null, error?: unknown) => void;

/**
 * The verifier's answers as texts, without a promise and with hardly anything made anew where a question is usual: the text
 * opened a key before whose record is still known, one unit is asked for, and Redis confirms the record. That is what the
 * {@link Verifier} does, too, which gets every other question.
 */
export class SwiftVerifier {
  private readonly answers = new SharedTexts();

  constructor(private readonly parts: SwiftVerifierParts) {}

  verify(question: Question, tell: OnAnswer): void {
    const usual = this.usualFor(question);
    if (usual === null) return this.askVerifier(question, tell);
    this.parts.cache!.spendFor(usual.call, (reply) => {
      if (isSpent(reply)) this.tellText(usual, reply, tell);
      else this.askVerifier(question, tell);
    });
  }

  /**
   * The same for many: `tell` has the texts in the order of the questions, or the first that fails.
   *
   * @param again makes the questions anew, for those that Redis does not settle: no usual one is kept while it is asked, as what lives
   *   for so long costs the garbage collector more than all the rest
   */
  verifyMany(
    questions: readonly Question[],
    again: () => readonly Question[],
    tell: OnAnswers,
  ): void {
    const texts = new Texts(questions.length, tell);
    const usuals: (Usual | null)[] = [];
    let asked: readonly Question[] | null = null;
    // no closure from here may name `questions`, which it would keep
    const onReply: OnCheckReply = (reply, place) => {
      try {
        if (isSpent(reply)) return texts.take(place, this.textOf(usuals[place]!, reply));
        asked ??= again();
        this.askVerifier(asked[place]!, texts.taker(place));
      } catch (error) {
        texts.fail(error);
      }
    };
    try {
      for (const [i, question] of questions.entries()) {
        const usual = this.usualFor(question);
        usuals.push(usual);
        if (usual !== null) this.parts.cache!.spendFor(usual.call, onReply, i);
        else this.askVerifier(question, texts.taker(i));
      }
    } catch (error) {
      texts.fail(error);
    }
  }

  /** Never throws: others wait for the answer that their questions went to Redis with. */
  private tellText(usual: Usual, reply: SpentReply, tell: OnAnswer): void {
    let text: string;
    try {
      text = this.textOf(usual, reply);
    } catch (error) {
      return tell(null, error);
    }
    tell(text);
  }

  private askVerifier(question: Question, tell: OnAnswer): void {
    this.parts.verifier.verify(question).then(
      (verdict) => tell(JSON.stringify(verdict)),
      (error: unknown) => tell(null, unavailable(error)),
    );
  }

  /** What is prepared for a text that opened the record which is still known, and may do what is asked. */
  private usualFor(question: Question): Usual | null {
    const found = isForOneUnit(question) ? this.openedBy(question.text) : null;
    if (found === null) return null;
    const { opened, entry } = found;
    const { record, secret, usual } = opened;
    const { service } = question;
    if (this.parts.foreign.isHeld(record, service)) return null;
    if (decide(record, secret, question, this.parts.material.now()).code !== 'VALID') return null;
    if (usual?.service === service) return usual;
    if (!isUsual(record, secret)) return null;
    opened.usual = usualOf(entry, { ...opened, service, cache: this.parts.cache! }, this.answers);
    return opened.usual;
  }

  /** What a text opened, where that is the record of now. */
  private openedBy(text: string): { opened: Opened; entry: CacheEntry } | null {
    const { cache, fence, known, texts } = this.parts;
    const epoch = cache?.isUsable ? fence.trustedEpoch() : null;
    const opened = epoch === null ? undefined : texts.openedBy(text);
    if (epoch === null || opened === undefined) return null;
    const { keyId, record, usual } = opened;
    // one that was replaced meanwhile is not confirmed by Redis, and then the text opens the newer one
    if (usual !== null)
      return known.isUsable(usual.entry, keyId, epoch) ? { opened, entry: usual.entry } : null;
    const entry = known.entryOf(keyId, epoch);
    return entry?.record === record ? { opened, entry } : null;
  }

  private textOf(usual: Usual, reply: SpentReply): string {
    const { usage, known, material } = this.parts;
    const { entry, secret, service } = usual;
    const origin = known.originOf(entry.asOfMs, 'cache');
    if (reply[1] === 0 && !origin.isStale) {
      usage.add(usual.counted);
      return usualText(usual, reply, origin.ttlSeconds);
    }
    const record = entry.record!;
    const spent = spentOf({ limits: record.rateLimits }, reply);
    const decision = decisionOf(record, service);
    const nowMs = material.now();
    const verdict = verdictOf({ record, secret, decision, origin, spent, cost: 1, nowMs });
    usage.count({ service, isDry: false }, verdict);
    return JSON.stringify(verdict);
  }
}

/**
 * Texts in the order of their places, told when all are there or one has failed. What lives while Redis is asked is old for V8 by
 * then, and what it holds would be as well: the texts are let go of at once.
 */
class Texts {
  private texts: string[] = [];
  private missing: number;
  private isOver = false;

  constructor(
    private readonly count: number,
    private readonly tell: OnAnswers,
  ) {
    this.missing = count;
  }

  take(place: number, text: string | null, error?: unknown): void {
    if (this.isOver) return;
    if (text === null) return this.fail(error);
    if (this.missing === this.count) this.texts = Array.from<string>({ length: this.count });
    this.texts[place] = text;
    this.missing -= 1;
    if (this.missing === 0) this.end(this.texts);
  }

  /** The failure of one is that of all, unless they were told before. */
  fail(error: unknown): void {
    if (!this.isOver) this.end(null, error);
  }

  taker(place: number): OnAnswer {
    return (text, error) => this.take(place, text, error);
  }

  private end(texts: string[] | null, error?: unknown): void {
    this.isOver = true;
    this.texts = [];
    this.tell(texts, error);
  }
}

function isForOneUnit({ cost, isDry, isFresh }: Question): boolean {
  return cost === 1 && !isDry && !isFresh;
}
