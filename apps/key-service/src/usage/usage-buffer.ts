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

/**
 * A count, whether it holds anything that is not taken out, and the next of the same key that does. One that was taken out is
 * used again for what it counted before: made anew every second, each would be old enough by then to wait for a collection of
 * the whole heap.
 */
interface HeldCount extends UsageCount {
  isHeld: boolean;
  next: HeldCount | undefined;
}

const MINUTE_MS = 60_000;
/** How long the place of a key is kept that is not used: as long as most that are in use rest. */
const SPARE_MS = 2_000;

/**
 * Counts that are not written yet. Holds at most `capacity` of them: when it is full the minutes of what is otherwise alike
 * are merged into their latest, and only what then still finds no place is lost, and counted as that.
 */
export class UsageBuffer {
  /** The latest count of each key; one that was taken out is alone, and keeps the place. */
  private readonly byKey = new Map<string, HeldCount>();
  private size = 0;
  private latestMs = 0;
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
    const isSame = last !== undefined && last.isHeld && last.minute === minute;
    const one = isSame ? last : this.countOf(what, minute);
    if (one === undefined) return;
    one.count += 1;
    one.lastMs = nowMs;
    this.latestMs = nowMs;
    what.last = one;
  }

  /** Takes up to `limit` counts out, no two of which are the same thing. */
  take(limit: number): UsageCount[] {
    const taken: UsageCount[] = [];
    for (const [keyId, first] of this.byKey) {
      if (taken.length >= limit) break;
      if (!first.isHeld) {
        if (first.lastMs < this.latestMs - SPARE_MS) this.byKey.delete(keyId);
        continue;
      }
      let one: HeldCount | undefined = first;
      for (; one !== undefined && taken.length < limit; one = one.next) {
        taken.push(copyOf(one));
        one.isHeld = false;
      }
      if (one === undefined) first.next = undefined;
      else this.byKey.set(keyId, one);
    }
    this.size -= taken.length;
    this.mayMerge = true;
    return taken;
  }

  /** How many verifications it holds. */
  total(): number {
    let total = 0;
    for (const first of this.byKey.values())
      for (let one: HeldCount | undefined = first; one?.isHeld; one = one.next) total += one.count;
    return total;
  }

  /** The count of something in a minute, begun if need be; undefined where it finds no place. */
  private countOf(what: Counted, minute: number): HeldCount | undefined {
    const first = this.byKey.get(what.keyId);
    const same = find(first, what, minute);
    if (same !== undefined) return same;
    if (this.size < this.capacity || this.hasMerged()) return this.begin(what, minute);
    const alike = find(this.byKey.get(what.keyId), what);
    if (alike === undefined) this.lost += 1;
    else alike.minute = Math.max(alike.minute, minute);
    return alike;
  }

  private begin(what: Counted, minute: number): HeldCount {
    const first = this.byKey.get(what.keyId);
    const one = spareOf(what.last, what) ?? spareOf(first, what) ?? newCount(what);
    one.minute = minute;
    one.count = 0;
    one.isHeld = true;
    one.next = first?.isHeld && first !== one ? first : undefined;
    if (one !== first) this.byKey.set(what.keyId, one);
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
    for (const first of this.byKey.values()) {
      for (let one: HeldCount | undefined = first; one?.isHeld; one = one.next) {
        this.size += 1;
        mergeAlike(one);
      }
    }
    this.mayMerge = this.size <= 0.9 * this.capacity;
  }
}

function newCount({ keyId, secretNumber, superseded, service, code }: Counted): HeldCount {
  return {
    keyId,
    secretNumber,
    superseded,
    service,
    code,
    minute: 0,
    count: 0,
    lastMs: 0,
    isHeld: false,
    next: undefined,
  };
}

/** The count itself where it is free and of the same thing. */
function spareOf(one: HeldCount | undefined, what: Counted): HeldCount | undefined {
  return one !== undefined && !one.isHeld && isAlike(one, what) ? one : undefined;
}

function copyOf(one: HeldCount): UsageCount {
  const { keyId, secretNumber, superseded, service, code, minute, count, lastMs } = one;
  return { keyId, secretNumber, superseded, service, code, minute, count, lastMs };
}

/** The first of a key's counts, from `first` on, that is of something, in this minute or, without one, in any. */
function find(first: HeldCount | undefined, what: Counted, minute?: number): HeldCount | undefined {
  for (let one = first; one?.isHeld; one = one.next)
    if (isAlike(one, what) && (minute ?? one.minute) === one.minute) return one;
  return undefined;
}

/** Merges all later ones of the same thing into a count. */
function mergeAlike(one: HeldCount): void {
  for (let before = one, other = one.next; other !== undefined; other = other.next) {
    if (!isAlike(other, one)) {
      before = other;
      continue;
    }
    one.minute = Math.max(other.minute, one.minute);
    one.count += other.count;
    one.lastMs = Math.max(other.lastMs, one.lastMs);
    other.isHeld = false;
    before.next = other.next;
  }
}

function isAlike(one: UsageCount, other: Counted): boolean {
  return (
    one.code === other.code &&
    one.secretNumber === other.secretNumber &&
    one.superseded === other.superseded &&
    one.service === other.service
  );
}
