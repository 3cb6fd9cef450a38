import { hash } from 'node:crypto';
import type { ScopeRequirement, Verdict } from '#contracts';
import type { Batcher } from './batcher.js';
import type { LetPass } from './check.js';
import type { Feed } from './feed.js';
import type { KeyCache } from './key-cache.js';
import {
  decideOn,
  frozen,
  knownKeyOf,
  secondsLeft,
  verdictOn,
  type KnownKey,
} from './known-key.js';
import type { GuardSettings } from './options.js';
import type { Answered, KeyQuestion } from './question.js';
import { FOR_ALL, isFull } from './read-verdict.js';
import { answerAt, type RecentTexts } from './recent-texts.js';
import type { Terms } from './terms.js';
import { Contradiction, OthersLeft, VerificationUnavailable } from './unavailable.js';
import type { UsageReport } from './usage-report.js';

/** What a cached verifier works with. */
export interface CachedParts {
  settings: GuardSettings;
  batcher: Batcher;
  cache: KeyCache;
  feed: Pick<Feed, 'provenAtMs' | 'clock'>;
  terms: Terms;
  usage: Pick<UsageReport, 'count' | 'again'>;
  texts: RecentTexts;
}

/** A question about a key that others may wait for as well. */
interface Flight {
  waiting: number;
  landed: Promise<Landed>;
}

/** What came of it. */
interface Landed {
  verdict: Verdict;
  known: KnownKey | null;
  /** Whether a change came in between: it is from before then. */
  isOld: boolean;
  sentAtMs: number;
  /** Whether nobody else counts it. */
  isToCount: boolean;
}

/** Who waits for others' questions gives up after this many times the timeout of one. */
const PATIENCE = 3;

/**
 * Decides by what the key service has told of a key, as long as the change feed proves that it still holds: on scopes, address,
 * environment and times by the rules, unless a request with the same text and scopes was let through in the last ten seconds and
 * nothing that the rules look at can be otherwise by now. While the feed is not proven each request is asked about; while nobody
 * can be asked either, what is known goes on for the grace. Refusals are never kept, but those who wait for one question share
 * its answer.
 */
export class CachedVerifier {
  private readonly flights = new Map<string, Flight>();

  constructor(private readonly parts: CachedParts) {}

  /** At once where the key is known. @throws VerificationUnavailable */
  verify(question: KeyQuestion): Verdict | Promise<Verdict> {
    const nowMs = performance.now();
    const digest = hash('sha256', question.key, 'binary');
    if (!this.isProven(nowMs)) return this.askAlone(question, digest);
    const known = this.parts.cache.get(digest);
    if (known !== undefined && this.parts.cache.isCurrent(known, nowMs)) {
      const verdict = this.decide(known, question, nowMs);
      if (verdict !== null) return this.tell(known, question, { verdict, nowMs });
    }
    return this.askWithOthers(question, digest);
  }

  /**
   * How the key was let through for the same scopes lately, where that still holds; it is counted like any other. Null where it
   * is to be decided anew.
   */
  recall(key: string, scopes: ScopeRequirement): LetPass | null {
    const nowMs = performance.now();
    const recent = this.parts.texts.find(key, scopes, nowMs);
    if (recent === null || !this.isProven(nowMs)) return null;
    const answer = answerAt(recent, nowMs);
    this.parts.usage.again(recent, answer.verdict, nowMs);
    return answer;
  }

  private tell(
    known: KnownKey,
    { key, scopes }: KeyQuestion,
    { verdict, nowMs }: { verdict: Verdict; nowMs: number },
  ): Verdict {
    const { usage, texts, feed } = this.parts;
    const tally = usage.count(verdict, nowMs, known.tally);
    known.tally = tally;
    const theirMs = feed.clock.theirsAt(nowMs);
    texts.keep(key, known, { scopes, verdict, tally, nowMs, theirMs });
    return verdict;
  }

  /** Whether what is known may be used now. */
  get isProvenNow(): boolean {
    return this.isProven(performance.now());
  }

  private isProven(nowMs: number): boolean {
    const { feed, settings } = this.parts;
    return nowMs - feed.provenAtMs <= settings.maxStalenessMs;
  }

  /** The verdict by what is known, null where more units have to be asked for. */
  private decide(known: KnownKey, question: KeyQuestion, nowMs: number): Verdict | null {
    const code = this.codeOf(known, question, nowMs);
    const ttlSeconds = secondsLeft(known, nowMs);
    const { permits } = known;
    if (code !== 'VALID' || permits === null)
      return verdictOn(known, code, { ttlSeconds, isStale: false });
    if (permits.take(nowMs))
      return {
        ...verdictOn(known, code, { ttlSeconds, isStale: false }),
        ...permits.statesAt(nowMs),
      };
    const refused = permits.refusalAt(nowMs);
    return refused && { ...refused, ...permits.statesAt(nowMs) };
  }

  private codeOf(known: KnownKey, { scopes, clientIp }: KeyQuestion, nowMs: number) {
    const { service, environment } = this.parts.settings;
    const request = { service, scopes, clientIp, environment };
    return decideOn(known, request, this.parts.feed.clock.theirsAt(nowMs));
  }

  /** One question for all who want to know of a key at the same time. */
  private async askWithOthers(question: KeyQuestion, digest: string): Promise<Verdict> {
    const endsAtMs = performance.now() + PATIENCE * this.parts.settings.timeoutMs;
    for (;;) {
      const flight = this.flights.get(digest);
      if (flight === undefined) return this.launch(question, digest);
      flight.waiting += 1;
      let landed;
      try {
        landed = await flight.landed;
      } catch (error) {
        return this.inGrace(question, digest, error);
      }
      const verdict = this.shared(landed, question);
      if (verdict !== null) return verdict;
      if (performance.now() >= endsAtMs) throw new VerificationUnavailable('Too many wait');
    }
  }

  /** What another's question says to this one, null where it does not. */
  private shared(landed: Landed, question: KeyQuestion): Verdict | null {
    const { verdict, known, isOld, sentAtMs } = landed;
    if (isOld || this.parts.cache.isForgotten(sentAtMs)) return null;
    const nowMs = performance.now();
    let own: Verdict | null = null;
    if (known !== null) own = this.decide(known, question, nowMs) ?? known.permits?.refused ?? null;
    else if (FOR_ALL.has(verdict.code)) own = verdict;
    if (own !== null) this.parts.usage.count(own, nowMs);
    return own;
  }

  private launch(question: KeyQuestion, digest: string): Promise<Verdict> {
    const { cache } = this.parts;
    // what cannot be used without asking needs no units for later
    const isUsable = cache.eraAt(performance.now()) !== null;
    const permits = isUsable ? (cache.get(digest)?.permits ?? null) : null;
    const flight: Flight = { waiting: 0, landed: null as unknown as Promise<Landed> };
    const wished = () => Math.max(flight.waiting, permits?.ahead(performance.now()) ?? 0);
    flight.landed = this.ask(question, digest, wished).finally(() => this.flights.delete(digest));
    this.flights.set(digest, flight);
    return this.answerBy(flight.landed, question, digest);
  }

  private askAlone(question: KeyQuestion, digest: string): Promise<Verdict> {
    return this.answerBy(
      this.ask(question, digest, () => 0),
      question,
      digest,
    );
  }

  private async answerBy(
    asked: Promise<Landed>,
    question: KeyQuestion,
    digest: string,
  ): Promise<Verdict> {
    try {
      const first = await asked;
      if (!first.isOld) return this.counted(first);
      const again = await this.ask(question, digest, () => 0);
      if (!again.isOld) return this.counted(again);
      throw new VerificationUnavailable('The key service is behind its own change feed');
    } catch (error) {
      return this.inGrace(question, digest, error);
    }
  }

  private async ask(question: KeyQuestion, digest: string, permits: () => number): Promise<Landed> {
    const era = this.parts.cache.eraAt(performance.now());
    const isCounted = this.parts.feed.clock.isTold;
    const answered = await this.parts.batcher.ask({ question, permits, isCounted });
    return { ...this.learn(answered, digest, era), isToCount: isCounted };
  }

  /** Counted here and not where it was asked: a question that was repeated on its way is one use. */
  private counted({ verdict, isToCount }: Landed): Verdict {
    if (isToCount) this.parts.usage.count(verdict, performance.now());
    return verdict;
  }

  private learn(answered: Answered, digest: string, era: number | null): Omit<Landed, 'isToCount'> {
    const { cache, terms } = this.parts;
    const { lease, ...told } = answered.verdict;
    // those who wait for it share it
    const verdict = frozen(told);
    const { sentAtMs } = answered;
    const { keyId, decision } = verdict;
    const isOld =
      keyId !== undefined && cache.isOld({ keyId, version: decision.version, sentAtMs });
    if (lease === undefined || !isFull(verdict)) {
      if (FOR_ALL.has(verdict.code)) cache.drop(digest);
      return { verdict, known: null, isOld, sentAtMs };
    }
    terms.learn(lease, sentAtMs);
    const { service, ttlSeconds } = this.parts.settings;
    const lifeMs = Math.min(ttlSeconds, decision.ttlSeconds) * 1_000;
    const known = knownKeyOf(verdict, lease, { digest, service, sentAtMs, lifeMs, era });
    const before = cache.get(digest);
    if (!known.isStale && cache.put(known)) moveUnits(before, known, sentAtMs);
    const states = verdict.valid ? known.permits?.statesAt(sentAtMs) : undefined;
    return { verdict: { ...verdict, ...states }, known, isOld, sentAtMs };
  }

  /** Nobody at all can be asked: what is known may go on for a while. @throws `error` where it may not */
  private inGrace(question: KeyQuestion, digest: string, error: unknown): Verdict {
    const { cache, terms, usage } = this.parts;
    const known = cache.get(digest);
    if (known === undefined || !isOutage(error)) throw error;
    const nowMs = performance.now();
    if (nowMs - this.goodAtMs(known) >= terms.graceMsFor(question.scopes)) throw error;
    const code = this.codeOf(known, question, nowMs);
    // a limit that nobody can count is not taken for free
    const { permits } = known;
    if (code === 'VALID' && permits !== null && !permits.take(nowMs)) throw error;
    const verdict = {
      ...verdictOn(known, code, { ttlSeconds: 0, isStale: true }),
      ...(code === 'VALID' && permits?.statesAt(nowMs)),
    };
    usage.count(verdict, nowMs);
    return verdict;
  }

  /** Up to when it is certain that it held. */
  private goodAtMs(known: KnownKey): number {
    const { cache, feed } = this.parts;
    if (!cache.isFollowed(known)) return known.sentAtMs;
    return Math.max(known.sentAtMs, Math.min(feed.provenAtMs, known.untilMs));
  }
}

/** Whether nobody could be asked: not where a replica is left that may know better, or one said what cannot be. */
function isOutage(error: unknown): boolean {
  if (!(error instanceof VerificationUnavailable) || error instanceof OthersLeft) return false;
  return !(error.cause instanceof Contradiction);
}

/**
 * What is left of the permits before goes on beside the new ones, unless the key was changed. An answer that did not come to
 * limits says nothing of them: what was told before stands.
 */
function moveUnits(before: KnownKey | undefined, now: KnownKey, nowMs: number): void {
  if (now.permits === null || before?.record.version !== now.record.version) return;
  if (before.permits === null) return;
  if (now.permits.isTold) before.permits.moveTo(now.permits, nowMs);
  else now.permits = before.permits;
}
