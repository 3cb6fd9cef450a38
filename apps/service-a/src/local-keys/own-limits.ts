import type { LimitState, RateLimit } from '#contracts';
import { isBeyond, takeUnits } from '#key-core';

const MAX_BUCKETS = 100_000;

/** How taking from limits went. */
export interface Taken {
  isRefused: boolean;
  /** Until none refuses, 0 where none does. */
  retrySeconds: number;
  states: LimitState[];
}

/** Whose limits they are. */
export interface Holder {
  keyId: string;
  consumer: string;
}

/** Rate limits of this service's own keys, counted in this process; 100,000 buckets at most, the oldest go first. */
export class OwnLimits {
  private readonly buckets = new Map<string, number>();

  /** Takes `units` from all limits or from none; `isDry` only looks. One that is shared by the consumer is taken from by all its keys. */
  take(
    holder: Holder,
    limits: readonly RateLimit[],
    { units, isDry }: { units: number; isDry: boolean },
    nowMs: number,
  ): Taken {
    const takings = limits.map((limit) => {
      const name = bucketOf(holder, limit);
      const oldMs = this.buckets.get(name) ?? 0;
      return { name, limit, oldMs, taken: takeUnits(oldMs, limit, units, nowMs) };
    });
    const refusing = takings.find((one) => !one.taken.allowed);
    const spends = refusing === undefined && !isDry;
    for (const { name, limit, oldMs, taken } of takings) {
      if (spends) this.keep(name, taken.tatMs);
      else if (isBeyond(oldMs, limit, nowMs))
        this.keep(name, takeUnits(oldMs, limit, 0, nowMs).tatMs);
    }
    return {
      isRefused: refusing !== undefined,
      retrySeconds: Math.max(0, ...takings.map((one) => one.taken.retryAfterSeconds)),
      states: takings.map(({ limit, taken: { remaining, resetSeconds } }) => ({
        ...{ name: limit.name, limit: limit.limit, remaining, resetSeconds },
      })),
    };
  }

  private keep(name: string, tatMs: number): void {
    this.buckets.delete(name);
    this.buckets.set(name, tatMs);
    if (this.buckets.size > MAX_BUCKETS) this.buckets.delete(this.buckets.keys().next().value!);
  }
}

/** Limits of one window share a bucket however large each is: what is kept of it is a time, of which each takes its own fraction. */
function bucketOf({ keyId, consumer }: Holder, limit: RateLimit): string {
  const { name, windowSeconds, sharedBy } = limit;
  return sharedBy === 'consumer' ? `${consumer} ${name} ${windowSeconds}` : `${keyId} ${name}`;
}
