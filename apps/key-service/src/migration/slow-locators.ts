import type { Candidate } from './candidates.js';

/** Another process may give such a key a digest of our own meanwhile, with which it would be found: so much later it is. */
const BELIEVED_MS = 1_000;
const MAX_BELIEVED = 10_000;

/**
 * Look-ups of late that found keys with nothing but a slow hash. While too many wait for those, to look them up again would
 * only tell once more that nobody can compare.
 */
export class SlowLocators {
  private readonly untilMs = new Map<string, number>();

  /**
   * @param found by all of these
   * @param nowMs by a clock that nobody sets
   */
  note(lookups: readonly Buffer[], found: readonly Candidate[], nowMs: number): void {
    for (const lookup of lookups) {
      const own = found.filter((one) => one.lookup.equals(lookup));
      if (own.length === 0 || own.some((one) => one.pepperVersion !== 0)) continue;
      this.untilMs.set(nameOf(lookup), nowMs + BELIEVED_MS);
      if (this.untilMs.size > MAX_BELIEVED) this.untilMs.delete(this.untilMs.keys().next().value!);
    }
  }

  /** Whether all of these are such, and there are any. */
  are(lookups: readonly Buffer[], nowMs: number): boolean {
    if (lookups.length === 0) return false;
    return lookups.every((one) => (this.untilMs.get(nameOf(one)) ?? 0) > nowMs);
  }
}

function nameOf(lookup: Buffer): string {
  return lookup.toString('latin1');
}
