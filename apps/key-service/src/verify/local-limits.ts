import type { RateLimit } from '#contracts';
import { isBeyond, takeUnits } from '#key-core';
import { sharedName, type Sharing, type Spending, type Spent } from './spending.js';

const MAX_BUCKETS = 100_000;

/** Whose buckets they are. */
export interface Owner extends Sharing {
  keyId: string;
}

/**
 * Rate limits in this process, for where there is no Redis or it is away: each limit divided by the number of replicas, so
 * that all together stay within it. Counters start empty; at most 100,000 buckets are kept, the oldest go first.
 */
export class LocalLimits {
  private readonly buckets = new Map<string, number>();

  /** Takes from all limits or from none; a negative cost gives back. `replicas` at least 1. */
  spend(
    owner: Owner,
    { limits, cost, isDry }: Spending,
    share: { replicas: number; nowMs: number },
  ): Spent {
    const takings = limits.map((limit) => {
      const name = bucketOf(owner, limit);
      const own = { ...limit, limit: Math.max(1, Math.floor(limit.limit / share.replicas)) };
      const oldMs = this.buckets.get(name) ?? 0;
      return { name, limit, own, oldMs, taken: takeUnits(oldMs, own, cost, share.nowMs) };
    });
    const refusing = takings.find((one) => !one.taken.allowed);
    const spends = refusing === undefined && !isDry;
    const states = takings.map(({ name, limit, own, oldMs, taken }) => {
      const next = spends ? taken : takeUnits(oldMs, own, 0, share.nowMs);
      if (spends || isBeyond(oldMs, own, share.nowMs)) this.keep(name, next.tatMs);
      const { remaining, resetSeconds } = next;
      return { name: limit.name, limit: limit.limit, remaining, resetSeconds };
    });
    return {
      refusal: refusing === undefined ? null : 'RATE_LIMITED',
      retryMs: Math.max(0, ...takings.map((one) => one.taken.retryAfterSeconds)) * 1_000,
      ...(takings.some(({ own }) => cost > own.limit) && { exceedsShare: true }),
      states,
      quotaLeft: null,
    };
  }

  private keep(name: string, tatMs: number): void {
    this.buckets.delete(name);
    this.buckets.set(name, tatMs);
    if (this.buckets.size > MAX_BUCKETS) this.buckets.delete(this.buckets.keys().next().value!);
  }
}

function bucketOf({ keyId, ...sharing }: Owner, limit: RateLimit): string {
  const isOwn = limit.sharedBy === undefined;
  return isOwn
    ? `${keyId}:${limit.name}`
    : `consumer:${sharing.consumer}:${sharedName(sharing, limit)}`;
}
