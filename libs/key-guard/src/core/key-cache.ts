import { Floors, type AnsweredVersion } from './floors.js';
import type { KnownKey } from './known-key.js';
import { endRecent, wasRecalled } from './recent-texts.js';

/**
 * After the feed began anew, changes from before may still be on their way to the key service's own caches: it tells of them
 * within two seconds. What is answered until then may be used to get over an outage, but not instead of asking.
 */
const SETTLE_MS = 3_000;

/**
 * Keys by the digest of what was presented; those not used for longest go first. Of a key that is let through as before, without
 * being looked up here, only that it was used is known, not when: it is passed over once. A change takes a key away at once, and
 * no answer of before that change puts it back.
 */
export class KeyCache {
  private readonly known = new Map<string, KnownKey>();
  private readonly byKey = new Map<string, Set<string>>();
  private floors = new Floors();
  private era = 0;
  private beganAtMs = -Infinity;
  private settledAtMs = Infinity;

  constructor(private readonly most: number) {}

  get size(): number {
    return this.known.size;
  }

  /** The era for a question that is sent now: what is answered may be used without asking as long as it lasts; null for not at all. */
  eraAt(nowMs: number): number | null {
    return nowMs >= this.settledAtMs && this.floors.isWhole(nowMs) ? this.era : null;
  }

  /** What is known, whether it may still be used or not; it is the youngest then. */
  get(digest: string): KnownKey | undefined {
    const found = this.known.get(digest);
    if (found !== undefined && this.known.size > this.most / 2) {
      this.known.delete(digest);
      this.known.set(digest, found);
    }
    return found;
  }

  /** Whether the feed has told of every change since it was answered: as far as that is proven it holds. */
  isFollowed(known: KnownKey): boolean {
    return known.era === this.era;
  }

  /** Whether it may be used without asking, as far as the feed is proven. */
  isCurrent(known: KnownKey, nowMs: number): boolean {
    return this.isFollowed(known) && nowMs < known.untilMs;
  }

  /** Whether an answer is from before a change that the feed has told of since. */
  isOld(answered: AnsweredVersion): boolean {
    return this.floors.isOld(answered);
  }

  /** Whether what was answered to a question that was sent then was forgotten: the feed has begun anew since. */
  isForgotten(sentAtMs: number): boolean {
    return sentAtMs < this.beganAtMs;
  }

  /** Keeps what was answered, unless it is old by now, or of before the feed began anew. */
  put(known: KnownKey): boolean {
    const { digest, record, sentAtMs } = known;
    const { keyId, version } = record;
    if (this.isForgotten(sentAtMs) || this.isOld({ keyId, version, sentAtMs })) return false;
    const before = this.known.get(digest);
    if (before !== undefined && this.isBehind(known, before)) return false;
    if (before !== undefined) this.take(before);
    if (this.known.size >= this.most) this.dropOldest();
    this.known.set(digest, known);
    this.link(keyId, digest);
    return true;
  }

  /** Takes what was refused away. */
  drop(digest: string): void {
    const found = this.known.get(digest);
    if (found === undefined) return;
    this.take(found);
    const { keyId } = found.record;
    const digests = this.byKey.get(keyId);
    digests?.delete(digest);
    if (digests?.size === 0) this.byKey.delete(keyId);
  }

  /** The feed tells that a key has this version now. Told again, or late, it changes nothing. */
  change(keyId: string, version: number, nowMs: number): void {
    this.floors.raise(keyId, version, nowMs);
    for (const digest of this.byKey.get(keyId) ?? []) {
      const known = this.known.get(digest)!;
      if (!this.isFollowed(known) || known.record.version < version) this.drop(digest);
    }
  }

  /**
   * The feed began anew, without telling of everything in between: forgets all, the versions of keys with it. They may be of a
   * history that was lost, whose numbers are given again.
   */
  restart(nowMs: number): void {
    this.era += 1;
    this.beganAtMs = nowMs;
    this.floors = new Floors();
    this.settledAtMs = nowMs + SETTLE_MS;
    for (const known of this.known.values()) this.take(known);
    this.byKey.clear();
  }

  /** Whether there is a newer one already. What was told before the feed was settled may be of a lost history: its number says nothing. */
  private isBehind(known: KnownKey, before: KnownKey): boolean {
    if (this.isFollowed(known) && !this.isFollowed(before)) return false;
    return known.record.version < before.record.version;
  }

  /** What was let through as before was used without being looked up here: it becomes the youngest once, and another one goes. */
  private dropOldest(): void {
    for (const [digest, known] of this.known) {
      if (!wasRecalled(known)) return this.drop(digest);
      this.known.delete(digest);
      this.known.set(digest, known);
    }
  }

  /** From now on nobody goes by it. */
  private take(known: KnownKey): void {
    this.known.delete(known.digest);
    endRecent(known);
  }

  private link(keyId: string, digest: string): void {
    const digests = this.byKey.get(keyId);
    if (digests === undefined) this.byKey.set(keyId, new Set([digest]));
    else digests.add(digest);
  }
}
