import type { Candidate } from './candidates.js';

/** What changes is told at once: this is for what was not told. */
const BELIEVED_MS = 30_000;
const MAX_BELIEVED = 10_000;

/**
 * Look-ups of late that found keys with nothing but a slow hash. While too many wait for those, to look them up again would
 * only tell once more that nobody can compare, at the cost of statements that others wait behind.
 */
export class SlowLocators {
  private readonly untilMs = new Map<string, number>();
  private changes = 0;

  /** How often something changed; to be asked before a look-up, and handed to {@link note} with what it found. */
  get state(): number {
    return this.changes;
  }

  /**
   * @param found by all of these
   * @param nowMs by a clock that nobody sets
   * @param state as it was before they were looked up: what changed meanwhile may not have been seen
   */
  note(
    lookups: readonly Buffer[],
    found: readonly Candidate[],
    { nowMs, state }: { nowMs: number; state: number },
  ): void {
    if (state !== this.changes) return;
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

  /** To be called where a key may have got a digest of our own, or one more be found by a locator. */
  forget(): void {
    this.changes += 1;
    this.untilMs.clear();
  }
}

function nameOf(lookup: Buffer): string {
  return lookup.toString('latin1');
}
