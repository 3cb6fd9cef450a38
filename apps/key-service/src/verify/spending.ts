import type { LimitState, RateLimit, VerdictCode } from '#contracts';
import type { QuotaRecord } from '#key-core';

/** Units to take from a key's limits and quota, from all or from none; `isDry` only looks. */
export interface Spending {
  limits: readonly RateLimit[];
  quota: QuotaRecord | null;
  cost: number;
  isDry: boolean;
}

/** Which keys share a limit: those of a consumer, for as much as they are used at one service. */
export interface Sharing {
  consumer: string;
  /** The service that asks. */
  service: string;
}

/**
 * Name of a shared limit's bucket among those of a consumer. Each service has its own: who may make keys for another one cannot
 * spend it. So has each window, as what is left of one says nothing in another.
 */
export function sharedName({ service }: Sharing, { name, windowSeconds }: RateLimit): string {
  return `${service}:${name}:${windowSeconds}`;
}

/** Nothing to take, only a record to confirm. */
export const NO_SPENDING: Spending = { limits: [], quota: null, cost: 0, isDry: true };

/** Why units were not to be had. */
export type SpendingRefusal = Extract<VerdictCode, 'RATE_LIMITED' | 'QUOTA_EXCEEDED'>;

/** How it went. */
export interface Spent {
  refusal: SpendingRefusal | null;
  /** Until every limit that refused may let the call pass; of a quota see its next refill. */
  retryMs: number;
  /** Whether more was asked for than this replica's share of a limit ever holds: no wait helps while Redis is away. */
  exceedsShare?: true;
  /** State of each limit, after it. */
  states: LimitState[];
  /** What is left of the quota; null without one, or where another limit refused before it was looked at. */
  quotaLeft: number | null;
}

/** Where nothing is limited. */
export const UNLIMITED: Spent = { refusal: null, retryMs: 0, states: [], quotaLeft: null };
