import { createHmac, randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { digestKey, sameDigest, UnknownPepper, type KeyRecord, type Peppers } from '#key-core';
import {
  fastDigest,
  fitsShape,
  hashedPart,
  isFast,
  locatorIn,
  readFastDigest,
  type SlowAlgorithm,
} from '#key-core/legacy';
import {
  UnknownImport,
  type ForeignFound,
  type ForeignKeys,
  type ForeignText,
} from '../verify/foreign-keys.js';
import type { Candidate, Candidates } from './candidates.js';
import { isHeldBack, mayBeHeldBack } from './held-keys.js';
import { type ClosedRule, type ImportRule, type ImportRules } from './import-rules.js';
import { lookupOf, openHash } from './import-secrets.js';
import { inTime } from './in-time.js';
import type { SlowGuesses } from './slow-guesses.js';
import type { SlowLocators } from './slow-locators.js';

export interface ImportedKeysParts {
  rules: ImportRules;
  candidates: Candidates;
  guesses: SlowGuesses;
  slow: SlowLocators;
  peppers: Peppers;
  now: () => number;
  log: Logger;
}

/** What a text would be found by, were it a key of an import. */
interface Trace {
  rule: ImportRule;
  part: string;
  lookup: Buffer;
  /** Null where the hash has a salt. */
  digest: Buffer | null;
}

type Found = Exclude<ForeignFound, 'unknown'>;

/** Which secret of which key a text is. */
interface Remembered {
  keyId: string;
  secretNumber: number;
}

/** Who asks has an answer, or none, by then: slow hashes take long where much else goes on. */
const FOUND_WITHIN_MS = 10_000;
const REFUSED_MS = 1_000;
const MAX_REMEMBERED = 50_000;

/**
 * Finds imported keys. What a text was found to be is remembered, under a digest that only this process can make: a good one
 * for good, as a secret never changes its text, a bad one for a second, or until an import changes. Whether the key may be used is not decided here.
 *
 * A text that an import's shape excludes costs nothing, one that no row is kept for a look-up that it shares with others, and only
 * the right locator costs a slow hash; of those each source has a few, and all of them share processes of their own. What takes
 * longer than the one who asked waits is found out all the same, for the next time.
 */
export class ImportedKeys implements ForeignKeys {
  private readonly found = new Map<string, Remembered>();
  private readonly refusedUntilMs = new Map<string, number>();
  private readonly underWay = new Map<string, Promise<Found>>();
  private nameKey = randomBytes(32);

  constructor(private readonly parts: ImportedKeysParts) {}

  services(): Iterable<string> {
    return this.parts.rules.services();
  }

  mayBe(given: ForeignText): boolean {
    return this.rulesFor(given).length > 0 || this.mayBeUnknown(given);
  }

  mayBeHeld(given: Pick<ForeignText, 'text' | 'service'>): boolean {
    const { rules } = this.parts;
    return !rules.areCurrent || mayBeHeldBack(given.text, rules.of(given.service));
  }

  isHeld({ importId }: Pick<KeyRecord, 'importId'>, service: string): boolean {
    const { rules } = this.parts;
    return importId !== null && (!rules.areCurrent || isHeldBack(importId, rules.of(service)));
  }

  requireKnown({ importId }: Pick<KeyRecord, 'importId'>, service: string): void {
    const { rules } = this.parts;
    rules.requireCurrent();
    if (rules.of(service).some(({ id, scheme }) => id === importId && scheme === null))
      throw new UnknownImport();
  }

  async find(given: ForeignText): Promise<ForeignFound> {
    const found = await this.findOpen(given);
    return found === null && this.mayBeUnknown(given) ? 'unknown' : found;
  }

  /** By the imports that this replica can open. */
  private async findOpen(given: ForeignText): Promise<Found> {
    const rules = this.rulesFor(given);
    if (rules.length === 0) return null;
    if (!given.isDry) this.parts.rules.requireCurrent();
    const name = this.nameOf(given, rules);
    const known = this.found.get(name);
    if (known !== undefined) return { ...known, text: given.text };
    // what was none before an import changed may be one now
    const turn = `${this.parts.rules.generation} ${name}`;
    if ((this.refusedUntilMs.get(turn) ?? 0) > this.parts.now()) return null;
    if (this.isHopeless(given, rules)) return 'busy';
    let search = this.underWay.get(turn);
    if (search === undefined) {
      const traces = rules.map((rule) => traceOf(rule, given.text)).filter((one) => one !== null);
      if (this.isTooSlow(traces)) return 'busy';
      search = this.search(given, traces, { name, turn }).finally(() => this.underWay.delete(turn));
      this.underWay.set(turn, search);
    }
    return inTime(search, FOUND_WITHIN_MS);
  }

  /** A source that has guessed too often is not even looked up for, where all that could be found costs a slow hash. */
  private isHopeless(given: ForeignText, rules: readonly ImportRule[]): boolean {
    return !rules.some(({ scheme }) => isFast(scheme)) && this.parts.guesses.isSpent(given);
  }

  /** What nobody can compare now is not looked up either, where that is known of all that could be found. */
  private isTooSlow(traces: readonly Trace[]): boolean {
    if (!this.parts.guesses.areFull || traces.some(({ digest }) => digest !== null)) return false;
    return this.parts.slow.are(lookupsOf(traces), performance.now());
  }

  private rulesFor(given: ForeignText): ImportRule[] {
    return this.rulesThatCount(given)
      .filter(isOpen)
      .filter(({ scheme }) => fitsShape(scheme, given.text));
  }

  private mayBeUnknown(given: ForeignText): boolean {
    return !this.rulesThatCount(given).every(isOpen);
  }

  /** While only the old side counts, the platform knows an imported key in dry runs only. */
  private rulesThatCount({ service, isDry }: ForeignText): readonly (ImportRule | ClosedRule)[] {
    const rules = this.parts.rules.of(service);
    return isDry ? rules : rules.filter(({ mode }) => mode !== 'shadow');
  }

  private nameOf({ text, service }: ForeignText, rules: readonly ImportRule[]): string {
    const asked = JSON.stringify([service, rules.map((one) => one.id)]);
    return createHmac('sha256', this.nameKey).update(`${asked}\0${text}`).digest('base64');
  }

  /** Knows nothing any more, nor what is being looked up: PostgreSQL has lost changes, and gives their numbers again. */
  forget(): void {
    this.nameKey = randomBytes(32);
    this.found.clear();
    this.refusedUntilMs.clear();
    this.parts.slow.forget();
  }

  private async search(
    given: ForeignText,
    traces: readonly Trace[],
    { name, turn }: { name: string; turn: string },
  ): Promise<Found> {
    const found = await this.candidatesOf(traces);
    // another import of the service, whose old side alone counts, may have the same text
    const candidates = found.filter(({ importId }) =>
      traces.some((one) => one.rule.id === importId),
    );
    const key = await this.firstThatIs(given, traces, candidates);
    if (key === 'busy') return key;
    if (key === null) {
      remember(this.refusedUntilMs, turn, this.parts.now() + REFUSED_MS);
      return null;
    }
    const { keyId, secretNumber } = key;
    remember(this.found, name, { keyId, secretNumber });
    return { keyId, secretNumber, text: given.text };
  }

  private async candidatesOf(traces: readonly Trace[]): Promise<Candidate[]> {
    if (traces.length === 0) return [];
    const lookups = lookupsOf(traces);
    const { candidates, guesses, slow } = this.parts;
    const { state } = slow;
    const found = await candidates.find(lookups);
    if (guesses.areFull) {
      const asked = found.filter(({ importId }) => traces.some(({ rule }) => rule.id === importId));
      slow.note(lookups, asked, { nowMs: performance.now(), state });
    }
    return found;
  }

  /** Those with a digest of our own first, then by what they cost. */
  private async firstThatIs(
    given: ForeignText,
    traces: readonly Trace[],
    candidates: readonly Candidate[],
  ): Promise<Candidate | null | 'busy'> {
    const own = candidates.find((one) => one.pepperVersion !== 0 && this.isOwn(one, given.text));
    if (own !== undefined) return own;
    let answer: null | 'busy' = null;
    for (const candidate of candidates.filter((one) => one.pepperVersion === 0)) {
      const trace = traces.find(
        ({ rule, lookup }) => rule.id === candidate.importId && lookup.equals(candidate.lookup),
      );
      const is = trace === undefined ? false : await this.isHash(candidate, trace, given);
      if (is === true) return candidate;
      if (is === 'busy') answer = 'busy';
    }
    return answer;
  }

  private isOwn({ pepperVersion, digest }: Candidate, text: string): boolean {
    const pepper = this.parts.peppers.get(pepperVersion);
    if (pepper === undefined) throw new UnknownPepper(pepperVersion);
    return sameDigest(digestKey(pepper, text), digest);
  }

  /** A row that was not sealed here is none. */
  private async isHash(
    { importId, keyId, lookup, sealed }: Candidate,
    { rule, part, digest }: Trace,
    given: ForeignText,
  ): Promise<boolean | 'busy'> {
    // what nobody can compare now need not be opened
    if (digest === null && this.parts.guesses.areFull) return 'busy';
    const hash = sealed && openHash(rule.secrets, sealed, { importId, keyId, lookup });
    if (hash === null) {
      this.parts.log.error({ keyId }, 'an imported hash was not sealed here: it opens nothing');
      return false;
    }
    const { scheme } = rule;
    if (digest === null) {
      const algorithm = scheme.algorithm as SlowAlgorithm;
      const question = { algorithm, hash, part, preHashed: scheme.preHashed };
      return this.parts.guesses.isRight(given, question);
    }
    const kept = isFast(scheme) ? readFastDigest(scheme, hash) : null;
    return kept !== null && sameDigest(kept, digest);
  }
}

function isOpen(rule: ImportRule | ClosedRule): rule is ImportRule {
  return rule.scheme !== null;
}

function traceOf(rule: ImportRule, text: string): Trace | null {
  const { scheme, secrets, service } = rule;
  const part = hashedPart(scheme, text);
  if (part === null) return null;
  if (isFast(scheme)) {
    const digest = fastDigest(scheme, part);
    return { rule, part, digest, lookup: lookupOf(secrets, service, { digest }) };
  }
  const locator = locatorIn(scheme, text);
  if (locator === null) return null;
  return { rule, part, digest: null, lookup: lookupOf(secrets, service, { locator }) };
}

/** Each once: several imports of a service may find their keys by the same locator. */
function lookupsOf(traces: readonly Trace[]): Buffer[] {
  return [...new Map(traces.map(({ lookup }) => [lookup.toString('hex'), lookup])).values()];
}

/** The oldest go first. */
function remember<T>(map: Map<string, T>, name: string, value: T): void {
  map.set(name, value);
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value!);
}
