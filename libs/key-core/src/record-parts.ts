import type { Grant, RateLimit } from '#contracts';

/** The most of one kind that are held. */
const MAX_HELD = 1_000;

/** Things that are made of the same are one thing. What is given is shared: never change it. */
class Alike<Packed, Part> {
  private readonly held = new Map<string, Part>();

  constructor(private readonly make: (packed: Packed) => Part) {}

  of(packed: Packed): Part {
    const text = JSON.stringify(packed);
    const before = this.held.get(text);
    if (before !== undefined) return before;
    const part = this.make(packed);
    this.held.set(text, part);
    if (this.held.size > MAX_HELD) this.held.delete(this.held.keys().next().value!);
    return part;
  }
}

export type PackedGrant = [service: string, scopes: string[]];
export type PackedLimit = [name: string, limit: number, windowSeconds: number, isShared: 0 | 1];

/**
 * What many keys have alike - grants, limits, a consumer - held once for all records that are read with it: with 10,000
 * records in memory that is a third of what they take. The oldest of more than 1,000 are let go; who has them keeps them.
 */
export class RecordParts {
  readonly consumers = new Alike((slug: string) => slug);
  readonly grants = new Alike((packed: PackedGrant[]): Grant[] =>
    packed.map(([service, scopes]) => ({ service, scopes })),
  );
  readonly limits = new Alike((packed: PackedLimit[]) => packed.map(limitOf));
  readonly addresses = new Alike((ranges: string[]) => ranges);
  private readonly noMetadata = {};

  metadata(read: Record<string, unknown>): Record<string, unknown> {
    for (const _ in read) return read;
    return this.noMetadata;
  }
}

function limitOf([name, limit, windowSeconds, isShared]: PackedLimit): RateLimit {
  const own = { name, limit, windowSeconds };
  return isShared === 1 ? { ...own, sharedBy: 'consumer' } : own;
}
