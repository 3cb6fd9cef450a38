import { takeUnits } from '#key-core';
import type { Spending, Spent } from './record-cache.js';

const MAX_BUCKETS = 100_000;

/**
 * Rate limits in this process, for where there is no Redis or it is away: each limit divided by the number of replicas, so
 * that all together stay within it. Counters start empty; at most 100,000 buckets are kept, the oldest go first.
 */
export class LocalLimits {
  private readonly buckets = new Map<string, number>();

  /** Takes from all limits or from none. `replicas` at least 1. */
  spend(
    keyId: string,
    { limits, cost, isDry }: Spending,
    share: { replicas: number; nowMs: number },
  ): Spent {
    const takings = limits.map((limit) => {
      const name = `${keyId}:${limit.name}`;
      const own = { ...limit, limit: Math.max(1, Math.floor(limit.limit / share.replicas)) };
      const oldMs = this.buckets.get(name) ?? 0;
      return { name, own, oldMs, taken: takeUnits(oldMs, own, cost, share.nowMs) };
    });
    const refusedBy = takings.findIndex((one) => !one.taken.allowed) + 1;
    const spends = refusedBy === 0 && !isDry;
    if (spends) for (const { name, taken } of takings) this.keep(name, taken.tatMs);
    const states = takings.map(({ own, oldMs, taken }) => {
      const state = spends ? taken : takeUnits(oldMs, own, 0, share.nowMs);
      return { remaining: state.remaining, resetMs: state.resetSeconds * 1_000 };
    });
    const retryMs = refusedBy === 0 ? 0 : takings[refusedBy - 1]!.taken.retryAfterSeconds * 1_000;
    return { refusedBy, retryMs, states };
  }

  private keep(name: string, tatMs: number): void {
    this.buckets.delete(name);
    this.buckets.set(name, tatMs);
    if (this.buckets.size > MAX_BUCKETS) this.buckets.delete(this.buckets.keys().next().value!);
  }
}
