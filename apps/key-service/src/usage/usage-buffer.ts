import type { VerdictCode } from '#contracts';

/** One thing that is counted: an outcome of one key's secret at one service within one minute. */
export interface UsageCount {
  /** `''` where the verdict names no key. */
  keyId: string;
  /** 0 where it is not known. */
  secretNumber: number;
  /** Whether the secret had been replaced when it was presented. */
  superseded: boolean;
  service: string;
  code: VerdictCode;
  /** Minutes since 1970. */
  minute: number;
  count: number;
  /** When it was last counted, milliseconds since 1970. */
  lastMs: number;
}

/** What is to be counted of one verification. Who gives the same object again is counted without a look-up. */
export interface Counted extends Omit<UsageCount, 'minute' | 'count' | 'lastMs'> {
  /** Where it was counted last. */
  last?: HeldCount | undefined;
}

/** A count, and whether it is still in the buffer. */
type HeldCount = UsageCount & { isHeld?: true | undefined };

const MINUTE_MS = 60_000;

/**
 * Counts that are not written yet. Holds at most `capacity` of them: when it is full the minutes of what is otherwise alike
 * are merged into their latest, and only what then still finds no place is lost, and counted as that.
 */
export class UsageBuffer {
  private readonly byKey = new Map<string, HeldCount[]>();
  private size = 0;
  /** Whether merging would free enough to be worth it. */
  private mayMerge = true;
  /** Verifications that found no place since the start. */
  lost = 0;

  constructor(private readonly capacity = 100_000) {}

  get isEmpty(): boolean {
    return this.size === 0;
  }

  /** Counts one verification at `nowMs`. */
  count(what: Counted, nowMs: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS);
    const { last } = what;
    const isSame = last !== undefined && last.isHeld === true && last.minute === minute;
    const one = isSame ? last : this.countOf(what, minute);
    if (one === undefined) return;
    one.count += 1;
    one.lastMs = nowMs;
    what.last = one;
  }

  /** Takes up to `limit` counts out, no two of which are the same thing. */
  take(limit: number): UsageCount[] {
    const taken: HeldCount[] = [];
    for (const [keyId, counts] of this.byKey) {
      if (taken.length >= limit) break;
      const isWhole = counts.length <= limit - taken.length;
      for (const one of isWhole ? counts : counts.splice(0, limit - taken.length)) taken.push(one);
      if (isWhole) this.byKey.delete(keyId);
    }
    for (const one of taken) one.isHeld = undefined;
    this.size -= taken.length;
    this.mayMerge = true;
    return taken;
  }

  /** How many verifications it holds. */
  total(): number {
    let total = 0;
    for (const counts of this.byKey.values()) for (const { count } of counts) total += count;
    return total;
  }

  /** The count of something in a minute, begun if need be; undefined where it finds no place. */
  private countOf(what: Counted, minute: number): HeldCount | undefined {
    const counts = this.byKey.get(what.keyId);
    for (let i = (counts?.length ?? 0) - 1; i >= 0; i -= 1) {
      const one = counts![i]!;
      if (one.minute === minute && isAlike(one, what)) return one;
    }
    if (this.size < this.capacity || this.hasMerged()) return this.begin(what, minute);
    const alike = this.byKey.get(what.keyId)?.find((one) => isAlike(one, what));
    if (alike === undefined) this.lost += 1;
    else alike.minute = Math.max(alike.minute, minute);
    return alike;
  }

  private begin(what: Counted, minute: number): HeldCount {
    const { keyId, secretNumber, superseded, service, code } = what;
    const one: HeldCount = {
      keyId,
      secretNumber,
      superseded,
      service,
      code,
      minute,
      count: 0,
      lastMs: 0,
      isHeld: true,
    };
    const counts = this.byKey.get(keyId);
    if (counts === undefined) this.byKey.set(keyId, [one]);
    else counts.push(one);
    this.size += 1;
    return one;
  }

  /** Whether merging has made place. */
  private hasMerged(): boolean {
    if (this.mayMerge) this.merge();
    return this.size < this.capacity;
  }

  private merge(): void {
    this.size = 0;
    for (const [keyId, counts] of this.byKey) {
      const merged: HeldCount[] = [];
      for (const one of counts) {
        if (mergeInto(merged, one)) one.isHeld = undefined;
        else merged.push(one);
      }
      this.byKey.set(keyId, merged);
      this.size += merged.length;
    }
    this.mayMerge = this.size <= 0.9 * this.capacity;
  }
}

function mergeInto(counts: UsageCount[], one: UsageCount): boolean {
  const other = counts.find((each) => isAlike(each, one));
  if (other === undefined) return false;
  other.minute = Math.max(other.minute, one.minute);
  other.count += one.count;
  other.lastMs = Math.max(other.lastMs, one.lastMs);
  return true;
}

function isAlike(one: UsageCount, other: Counted): boolean {
  return (
    one.code === other.code &&
    one.secretNumber === other.secretNumber &&
    one.superseded === other.superseded &&
    one.service === other.service
  );
}
