import type { Lease, LimitState, QuotaState, Verdict } from '#contracts';

/** Permits of a key with a rate limit are used within this time: their use must lie close to when they were counted. */
const LIFE_MS = 1_000;
/** Ahead of requests at most so much of what is left is leased, and of a quota, whose units do not come back, so much. */
const RATE_SHARE = 0.1;
const QUOTA_SHARE = 0.01;
/** A refusal is repeated for at most this long before the key service is asked again. */
const HOLD_MS = 250;

/** What was answered of a key's limits. */
export interface LimitsTold {
  lease: Lease;
  verdict: Verdict;
  sentAtMs: number;
}

/**
 * Units of one key that the key service has counted already, for requests to come. They are used within a second where the
 * key has a rate limit, else while the verdict lasts; what is left then is lost. Ahead of requests as many are leased as
 * were lately used in a second, and only a small share of what is left: a guard that hoards would starve the others. A key
 * with both a rate limit and a quota gets none ahead, as its quota would run out unused.
 */
export class Permits {
  private units: number;
  private readonly untilMs: number;
  private taken = 0;
  private readonly toldAtMs: number;
  private readonly states: readonly LimitState[];
  private readonly quota: QuotaState | null;
  private readonly lease: Lease;
  private readonly refusal: Verdict | null;
  private readonly holdUntilMs: number;

  constructor({ lease, verdict, sentAtMs }: LimitsTold, lifeMs: number) {
    const hasRate = lease.rateLimits.length > 0;
    this.lease = lease;
    this.units = lease.permits;
    this.toldAtMs = sentAtMs;
    this.untilMs = sentAtMs + (hasRate ? Math.min(LIFE_MS, lifeMs) : lifeMs);
    this.states = verdict.rateLimits ?? [];
    this.quota = verdict.quota ?? null;
    const isOver = verdict.code === 'RATE_LIMITED' || verdict.code === 'QUOTA_EXCEEDED';
    this.refusal = isOver ? verdict : null;
    this.holdUntilMs = isOver ? sentAtMs + holdMsOf(verdict, lease) : -Infinity;
  }

  /** Takes one where there is one. */
  take(nowMs: number): boolean {
    this.taken += 1;
    if (this.units <= 0 || nowMs >= this.untilMs) return false;
    this.units -= 1;
    return true;
  }

  /** The refusal that still stands, without asking for more; null where it is worth asking. */
  refusalAt(nowMs: number): Verdict | null {
    return nowMs < this.holdUntilMs ? this.refusal : null;
  }

  /** The refusal that these came with, however old. */
  get refused(): Verdict | null {
    return this.refusal;
  }

  /** Whether the answer said anything of the limits: it does not where the key was refused before they were looked at. */
  get isTold(): boolean {
    return this.states.length > 0 || this.quota !== null;
  }

  /** How many to lease beside the next question, for requests to come. */
  ahead(nowMs: number): number {
    const hasRate = this.states.length > 0;
    if (hasRate && this.quota !== null) return 0;
    const elapsedMs = Math.max(50, nowMs - this.toldAtMs);
    const demand = (this.taken * LIFE_MS) / elapsedMs;
    const rateLeft = Math.min(...this.states.map((one) => one.remaining * RATE_SHARE));
    const quotaLeft = (this.quota?.remaining ?? Infinity) * QUOTA_SHARE;
    return Math.floor(Math.min(demand, rateLeft, quotaLeft));
  }

  /** What is told of the limits now: as the key service said, with the permits that are still here and what has come back. */
  statesAt(nowMs: number): Pick<Verdict, 'rateLimits' | 'quota'> {
    const elapsedMs = Math.max(0, nowMs - this.toldAtMs);
    const spare = nowMs < this.untilMs ? Math.max(0, this.units) : 0;
    const rateLimits = this.states.map((one) => {
      const set = this.lease.rateLimits.find(({ name }) => name === one.name);
      const unitMs = ((set?.windowSeconds ?? 0) * 1_000) / one.limit;
      const back = unitMs > 0 ? Math.floor(elapsedMs / unitMs) : 0;
      return {
        name: one.name,
        limit: one.limit,
        remaining: Math.min(one.limit, one.remaining + spare + back),
        resetSeconds: Math.max(0, Math.ceil(one.resetSeconds - elapsedMs / 1_000)),
      };
    });
    const { quota } = this;
    return {
      ...(rateLimits.length > 0 && { rateLimits }),
      ...(quota && { quota: { ...quota, remaining: quota.remaining + spare } }),
    };
  }

  /** Whether what is left of a quota's permits may go on beside new ones. */
  moveTo(next: Permits, nowMs: number): void {
    if (this.states.length > 0 || nowMs >= this.untilMs) return;
    next.units += Math.max(0, this.units);
    this.units = 0;
  }
}

/** The permits that an answer brought; null where nothing limits the key. */
export function permitsOf(told: LimitsTold, lifeMs: number): Permits | null {
  const { hasQuota, rateLimits } = told.lease;
  return hasQuota || rateLimits.length > 0 ? new Permits(told, lifeMs) : null;
}

/** So short that a unit which comes back is hardly missed. */
function holdMsOf({ code }: Verdict, { rateLimits }: Lease): number {
  if (code === 'QUOTA_EXCEEDED') return HOLD_MS;
  const unitsMs = rateLimits.map((one) => (one.windowSeconds * 1_000) / one.limit);
  return Math.min(HOLD_MS, Math.max(...unitsMs) / 2);
}
