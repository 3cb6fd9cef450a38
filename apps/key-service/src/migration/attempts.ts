/** Attempts at once, and how soon they come back. */
const BURST = 10;
const PER_SECOND = 2;
const MAX_SOURCES = 10_000;

interface Bucket {
  left: number;
  atMs: number;
}

/**
 * How many slow hashes one source may have computed: ten at once and two a second. A good key gives its attempt back, so that
 * only guesses count.
 */
export class Attempts {
  private readonly buckets = new Map<string, Bucket>();

  /** Takes an attempt. @returns false where the source has none left */
  take(source: string, nowMs: number): boolean {
    const bucket = this.bucketOf(source, nowMs);
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

  giveBack(source: string): void {
    const bucket = this.buckets.get(source);
    if (bucket !== undefined) bucket.left = Math.min(BURST, bucket.left + 1);
  }

  private bucketOf(source: string, nowMs: number): Bucket {
    const known = this.buckets.get(source);
    const elapsedMs = known === undefined ? 0 : Math.max(0, nowMs - known.atMs);
    const left = Math.min(BURST, (known?.left ?? BURST) + (elapsedMs / 1_000) * PER_SECOND);
    const bucket = { left, atMs: nowMs };
    this.buckets.delete(source);
    this.buckets.set(source, bucket);
    if (this.buckets.size > MAX_SOURCES) this.buckets.delete(this.buckets.keys().next().value!);
    return bucket;
  }
}
