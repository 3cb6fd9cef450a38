import type { ScopeRequirement, UsageEntry, Verdict } from '#contracts';
import { decidedUntilMs } from '#key-core';
import { isOneKey, type LetPass } from './check.js';
import { secondsLeft, verdictOn, type KnownKey } from './known-key.js';
import { isSameList, ScopeLists } from './scope-lists.js';
import type { Tally } from './usage-report.js';
import { headersOf } from './verdict-headers.js';

const TURN_MS = 10_000;
const MOST_TEXTS = 10_000;
/** Routes that a key may call in turn; where there are more, they are remembered anew. */
const MOST_ROUTES = 4;

/** How a request was let through, for those that ask the same. All that one needs is in here: what lies elsewhere costs more. */
export interface Recent {
  scopes: readonly string[];
  /** Until when the answer is right as it is; no longer than it holds. */
  asIsUntilMs: number;
  answer: LetPass;
  /** Where it is counted, and as long as what of the report lasts. */
  row: UsageEntry;
  turn: number;
  /** Whether it was used since the cache of keys last looked for one that is not. */
  isUsed: boolean;
  /** Until when it holds, by `performance.now()`; in the past once the key is no longer what it was. */
  untilMs: number;
  known: KnownKey;
  /** The same key for other scopes. */
  next: Recent | null;
}

/** How a known key was let through. */
export interface LetThrough {
  scopes: ScopeRequirement | undefined;
  verdict: Verdict;
  tally: Tally | null;
  nowMs: number;
  /** The key service's time. */
  theirMs: number;
}

/**
 * Keys that were used lately, by their text, and how they were let through: for ten seconds at most, until a time comes that the
 * rules look at, and until anything at all is told of the key. Keys whose limits or addresses count are not among them.
 *
 * Only texts that are a known key are taken, never a guess, and at most 10,000. How long a look-up takes tells nothing of them: a
 * text is compared only with one of the same hash under the seed of this process, and nobody can make that for a text they do
 * not know.
 */
export class RecentTexts {
  private texts = new Map<string, Recent>();
  private readonly lists = new ScopeLists();
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  start(): void {
    this.timer = setInterval(() => this.forget(), TURN_MS);
    this.timer.unref();
  }

  /** Forgets all, and keeps nothing more: nobody would take it away. */
  stop(): void {
    this.isStopped = true;
    clearInterval(this.timer);
    this.forget();
  }

  /** Also where the key service's time is told anew. */
  forget(): void {
    if (this.texts.size > 0) this.texts = new Map();
  }

  /** How the key was let through for the same scopes, if it still is. */
  find(text: string, scopes: ScopeRequirement, nowMs: number): Recent | null {
    let recent = this.texts.get(text) ?? null;
    while (recent !== null && !isSameList(recent.scopes, scopes)) recent = recent.next;
    if (recent === null) return null;
    return nowMs < recent.asIsUntilMs || nowMs < recent.untilMs ? recent : null;
  }

  /** Remembers a verdict on a key that is known, if it will do for others; it is theirs too then, and frozen. */
  keep(text: string, known: KnownKey, through: LetThrough): void {
    const { verdict, tally } = through;
    const list = this.lists.of(through.scopes);
    const isPlain = known.permits === null && known.record.ipAllowlist.length === 0;
    if (verdict.code !== 'VALID' || !isPlain || list === null || tally === null) return;
    const before = this.texts.get(text) ?? null;
    if (!this.mayKeep(text, before)) return;
    const holdsUntilMs = untilMs(known, through);
    const recent: Recent = {
      scopes: list,
      asIsUntilMs: Math.min(holdsUntilMs, toldUntilMs(known, verdict)),
      answer: passBy(verdict),
      row: tally.row,
      turn: tally.turn,
      isUsed: false,
      untilMs: holdsUntilMs,
      known,
      next: othersThan(list, before),
    };
    this.texts.set(text, recent);
    known.recent = recent;
  }

  private mayKeep(text: string, before: Recent | null): boolean {
    if (this.isStopped || !isOneKey(text)) return false;
    return before !== null || this.texts.size < MOST_TEXTS;
  }
}

/** The answer to one more who asks the same, with the seconds that are left by now. */
export function answerAt(recent: Recent, nowMs: number): LetPass {
  recent.isUsed = true;
  if (nowMs >= recent.asIsUntilMs) {
    const { known } = recent;
    // put together, as copying what is frozen is slow
    const left = { ttlSeconds: secondsLeft(known, nowMs), isStale: false };
    const verdict = verdictOn(known, 'VALID', left);
    recent.answer = passBy(verdict);
    recent.asIsUntilMs = Math.min(recent.untilMs, toldUntilMs(known, verdict));
  }
  return recent.answer;
}

/** Whether the key was let through as before since this was last asked. */
export function wasRecalled(known: KnownKey): boolean {
  let isUsed = false;
  for (let one = known.recent; one !== null; one = one.next) {
    isUsed ||= one.isUsed;
    one.isUsed = false;
  }
  return isUsed;
}

/** Nothing is let through as before any more: what is known of the key has changed, or is no longer known. */
export function endRecent(known: KnownKey): void {
  for (let one = known.recent; one !== null; one = one.next) {
    one.untilMs = -Infinity;
    one.asIsUntilMs = -Infinity;
  }
  known.recent = null;
}

/** Until its own time is over, or the rules may say otherwise. */
function untilMs(known: KnownKey, { nowMs, theirMs }: LetThrough): number {
  const rulesMs = decidedUntilMs(known.record, known.secret, theirMs);
  return Math.min(known.untilMs, nowMs + (rulesMs - theirMs));
}

/** When a verdict tells a second more than is left. */
function toldUntilMs(known: KnownKey, { decision }: Verdict): number {
  return known.untilMs - decision.ttlSeconds * 1_000;
}

function passBy(verdict: Verdict): LetPass {
  return Object.freeze({ allowed: true, verdict: frozen(verdict), headers: headersOf(verdict) });
}

/** Those before without the one of the same scopes; none of them where they are many. */
function othersThan(list: readonly string[], before: Recent | null): Recent | null {
  const others = [];
  for (let one = before; one !== null; one = one.next) if (one.scopes !== list) others.push(one);
  if (others.length >= MOST_ROUTES) return null;
  return others.reduceRight<Recent | null>((next, one) => ({ ...one, next }), null);
}

/** Its scopes and metadata are frozen already: those of the known key. */
function frozen(verdict: Verdict): Verdict {
  Object.freeze(verdict.decision);
  Object.freeze(verdict.rotation);
  return Object.freeze(verdict);
}
