import type { KeyMaterial } from '../key-material.js';
import type { Fence } from '../changes/fence.js';
import type { CacheEntry } from './cache-entry.js';
import type { Origin } from './verdict-of.js';

const MAX_KNOWN = 50_000;

/** What says how old a record may be. */
export interface KnownRecordsParts {
  fence: Pick<Fence, 'isDatabaseAway' | 'isInGrace'>;
  material: Pick<KeyMaterial, 'now'>;
  cacheTtlSeconds: number;
}

/** Records that this process has parsed before, by key id; never used unless Redis confirms them. The oldest go first. */
export class KnownRecords {
  private readonly entries = new Map<string, CacheEntry>();

  constructor(private readonly parts: KnownRecordsParts) {}

  /** The entry of a key, unless it may not be used any more. */
  entryOf(keyId: string, epoch: number): CacheEntry | undefined {
    const entry = this.entries.get(keyId);
    return entry !== undefined && this.isUsable(entry, keyId, epoch) ? entry : undefined;
  }

  /** Whether an entry of a key is of this epoch and not too old. */
  isUsable(entry: CacheEntry, keyId: string, epoch: number): boolean {
    return entry.epoch === epoch && entry.asOfMs >= this.oldestMs(keyId);
  }

  remember(keyId: string, entry: CacheEntry): void {
    this.entries.delete(keyId);
    // the record's own text of the id, as one copy is enough
    this.entries.set(entry.record?.keyId ?? keyId, entry);
    if (this.entries.size > MAX_KNOWN) this.entries.delete(this.entries.keys().next().value!);
  }

  /**
   * An entry that was read from the store before this is read anew, as long as there is a store to read. Not the same for all
   * keys, so that those which were read together do not come again together.
   */
  oldestMs(keyId: string): number {
    const { fence, material, cacheTtlSeconds } = this.parts;
    if (fence.isDatabaseAway) return 0;
    const lifeMs = cacheTtlSeconds * (1_000 - 3 * (keyId.charCodeAt(keyId.length - 1) % 32));
    return Math.floor(material.now()) - lifeMs;
  }

  /** Of a record as it was at `asOfMs`. */
  originOf(asOfMs: number, source: Origin['source']): Origin {
    const { cacheTtlSeconds, fence, material } = this.parts;
    if (source === 'store') return { source, asOfMs, ttlSeconds: cacheTtlSeconds, isStale: false };
    const isStale = fence.isInGrace;
    const ageSeconds = Math.floor((material.now() - asOfMs) / 1_000);
    const ttlSeconds = isStale ? 0 : Math.max(0, cacheTtlSeconds - ageSeconds);
    return { source, asOfMs, ttlSeconds, isStale };
  }
}
