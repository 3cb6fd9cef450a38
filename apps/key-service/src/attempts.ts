const MAX_SOURCES = 10_000;

interface Bucket {
  left: number;
  atMs: number;
}

/** Attempts at once, and how soon they come back. */
export interface AttemptsOptions {
  burst: number;
  perSecond: number;
}

/** How many keys one source may try. A good key gives its attempt back, so that only guesses count. */
export class Attempts {
  private readonly buckets = new Map<string, Bucket>();

  constructor(private readonly options: AttemptsOptions) {}

  /** Takes an attempt. @returns false where the source has none left */
  take(source: string, nowMs: number): boolean {
    const bucket = this.bucketOf(source, nowMs);
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

  /** Whether the source has none left, which takes none. */
  isSpent(source: string, nowMs: number): boolean {
    return this.buckets.has(source) && this.bucketOf(source, nowMs).left < 1;
  }

  giveBack(source: string): void {
    const bucket = this.buckets.get(source);
    if (bucket !== undefined) bucket.left = Math.min(this.options.burst, bucket.left + 1);
  }

  private bucketOf(source: string, nowMs: number): Bucket {
    const known = this.buckets.get(source);
    const elapsedMs = known === undefined ? 0 : Math.max(0, nowMs - known.atMs);
    const { burst, perSecond } = this.options;
    const left = Math.min(burst, (known?.left ?? burst) + (elapsedMs / 1_000) * perSecond);
    const bucket = { left, atMs: nowMs };
    this.buckets.delete(source);
    this.buckets.set(source, bucket);
    if (this.buckets.size > MAX_SOURCES) this.buckets.delete(this.buckets.keys().next().value!);
    return bucket;
  }
}
