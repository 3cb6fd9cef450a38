const LIFE_MS = 600_000;
const MOST = 100_000;

/** What was answered of a key, and when the question was sent, by the clock of `performance.now()`. */
export interface AnsweredVersion {
  keyId: string;
  version: number;
  sentAtMs: number;
}

interface Floor {
  version: number;
  atMs: number;
}

/**
 * The versions of keys that the change feed has told of. The feed may tell of a change before the key service has told its
 * own caches: an answer of an older version that comes afterwards is old, whoever gave it.
 */
export class Floors {
  private readonly floors = new Map<string, Floor>();
  /** Until then some that were told are forgotten. */
  private fullUntilMs = -Infinity;

  /** From now on answers about this key below this version are old. Only ever goes up. */
  raise(keyId: string, version: number, nowMs: number): void {
    const known = this.floors.get(keyId);
    if (known !== undefined && known.version >= version) return;
    this.floors.delete(keyId);
    this.floors.set(keyId, { version, atMs: nowMs });
    this.forget(nowMs);
  }

  /** Ten minutes after a change was told no answer is called old by it: whoever is behind for so long says that it is. */
  isOld({ keyId, version, sentAtMs }: AnsweredVersion): boolean {
    const floor = this.floors.get(keyId);
    if (floor === undefined || sentAtMs - floor.atMs > LIFE_MS) return false;
    return version < floor.version;
  }

  /** Whether all that were told lately are known. */
  isWhole(nowMs: number): boolean {
    return nowMs >= this.fullUntilMs;
  }

  private forget(nowMs: number): void {
    for (const [keyId, { atMs }] of this.floors) {
      const isOver = nowMs - atMs > LIFE_MS;
      if (!isOver && this.floors.size <= MOST) return;
      if (!isOver) this.fullUntilMs = Math.max(this.fullUntilMs, atMs + LIFE_MS);
      this.floors.delete(keyId);
    }
  }
}
