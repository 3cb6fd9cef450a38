import { decide, type Decision } from '#key-core';
import type { OnAnswer } from '#server';
import type { Fence } from '../changes/fence.js';
import type { KeyMaterial } from '../key-material.js';
import type { Usage } from '../usage/usage.js';
import type { CacheEntry } from './cache-entry.js';
import type { SpentReply } from './check-line.js';
import type { ForeignKeys } from './foreign-keys.js';
import { SharedTexts } from './kept-texts.js';
import type { KnownRecords } from './known-records.js';
import type { Opened, PresentedTexts } from './presented-texts.js';
import { spentOf, type RecordCache } from './record-cache.js';
import { unavailable } from './unavailable.js';
import { isUsual, usualOf, usualText, type Usual } from './usual.js';
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

/** A text that opened the record which is still known, and may do what is asked. */
interface Ready {
  opened: Opened;
  decision: Decision;
  usual: Usual;
  asOfMs: number;
}

/**
 * The verifier's answers as texts, without a promise and with hardly anything made anew where a question is usual: the text
 * opened a key before whose record is still known, one unit is asked for, and Redis confirms the record. That is what the
 * {@link Verifier} does, too, which gets every other question.
 */
export class SwiftVerifier {
  private readonly answers = new SharedTexts();

  constructor(private readonly parts: SwiftVerifierParts) {}

  verify(question: Question, tell: OnAnswer): void {
    const ready = this.readyFor(question);
    if (ready === null) return this.askVerifier(question, tell);
    this.parts.cache!.spendFor(ready.usual.call, (reply) => {
      if (reply === null) this.askVerifier(question, tell);
      else tell(this.textOf(ready, question, reply));
    });
  }

  private askVerifier(question: Question, tell: OnAnswer): void {
    this.parts.verifier.verify(question).then(
      (verdict) => tell(JSON.stringify(verdict)),
      (error: unknown) => tell(null, unavailable(error)),
    );
  }

  private readyFor(question: Question): Ready | null {
    const found = isForOneUnit(question) ? this.openedBy(question.text) : null;
    if (found === null) return null;
    const { opened, entry } = found;
    const { record, secret } = opened;
    if (this.parts.foreign.isHeld(record, question.service)) return null;
    const decision = decide(record, secret, question, this.parts.material.now());
    if (decision.code !== 'VALID') return null;
    const { service } = question;
    if (opened.usual?.service !== service) {
      if (!isUsual(record, secret)) return null;
      const ask = { ...opened, service, cache: this.parts.cache! };
      opened.usual = usualOf(entry, ask, this.answers);
    }
    return { opened, decision, usual: opened.usual, asOfMs: entry.asOfMs };
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

  private textOf(ready: Ready, question: Question, reply: SpentReply): string {
    const { opened, decision, usual, asOfMs } = ready;
    const { usage, known, material } = this.parts;
    const origin = known.originOf(asOfMs, 'cache');
    if (reply[1] === 0 && !origin.isStale) {
      usage.add(usual.counted);
      return usualText(usual, reply, origin.ttlSeconds);
    }
    const { record, secret } = opened;
    const spent = spentOf({ limits: record.rateLimits }, reply);
    const nowMs = material.now();
    const verdict = verdictOf({ record, secret, decision, origin, spent, cost: 1, nowMs });
    usage.count(question, verdict);
    return JSON.stringify(verdict);
  }
}

function isForOneUnit({ cost, isDry, isFresh }: Question): boolean {
  return cost === 1 && !isDry && !isFresh;
}
