import type { Quota, RateLimit } from '#contracts';

/** The step between neighbouring doubles at today's times in milliseconds: what one sum of them may be off by. */
const CLOCK_STEP_MS = 2 ** -12;
/** What many such sums may add up to; never more than a hundredth of a unit. */
const SLACK_MS = 2 ** -6;

/** Answer of {@link takeUnits}. */
export interface UnitsTaken {
  allowed: boolean;
  /** State to keep for the next call; where nothing was taken only if the old one {@link isBeyond} the window. */
  tatMs: number;
  /** Whole units that could still be taken at once. */
  remaining: number;
  /** Until the whole limit is free again, rounded up. */
  resetSeconds: number;
  /** Until the same call may pass, at least 1; 0 where it was allowed. See {@link exceedsLimits}. */
  retryAfterSeconds: number;
}

/**
 * Takes `cost` units from a rate limit by GCRA: units flow back at one per `window / limit`, and at most `limit` are there
 * at once. So at most `limit` units pass in a burst, `limit` per window in the long run, and never more than twice `limit`
 * in any one window (a full burst, and what flows back meanwhile). A refused call takes nothing.
 *
 * @param tatMs theoretical arrival time: when the whole limit will be free again; 0 where nothing was taken yet
 * @param cost units, 0 to look only; a negative one gives back
 * Source: generic cell rate algorithm, ITU-T I.371, in its virtual scheduling form. Whatever else counts the same limits,
 * a script in Redis, has to count in the same way.
 */
export function takeUnits(
  tatMs: number,
  limit: RateLimit,
  cost: number,
  nowMs: number,
): UnitsTaken {
  const windowMs = limit.windowSeconds * 1_000;
  const unitMs = windowMs / limit.limit;
  const slackMs = Math.min(SLACK_MS, unitMs / 100);
  const slack = slackMs / unitMs;
  const taken = unitsTaken(Math.min(Math.max(0, tatMs - nowMs), windowMs), unitMs);
  const wanted = taken + cost;
  const allowed = wanted <= limit.limit + slack;
  // what is given back may have flowed back meanwhile: no more is there than the limit
  const after = allowed ? Math.max(0, wanted) : taken;
  return {
    allowed,
    tatMs: nowMs + after * unitMs,
    remaining: Math.max(0, Math.floor(limit.limit - after + slack)),
    resetSeconds: secondsOf(after * unitMs - slackMs),
    retryAfterSeconds: allowed
      ? 0
      : Math.max(1, secondsOf((wanted - limit.limit) * unitMs - slackMs)),
  };
}

/**
 * Whether a state is further ahead than a whole window: a clock set back or a limit that was shortened left it. It counts as
 * one window, which must be kept even where nothing is taken: else the limit is refused until the old state is over.
 */
export function isBeyond(tatMs: number, { windowSeconds }: RateLimit, nowMs: number): boolean {
  return tatMs - nowMs > windowSeconds * 1_000;
}

/** Whether a call takes more at once than a limit or the quota ever holds: it is refused however long its caller waits. */
export function exceedsLimits(
  cost: number,
  { rateLimits, quota }: { rateLimits: readonly RateLimit[]; quota: Quota | null },
): boolean {
  return rateLimits.some(({ limit }) => cost > limit) || (quota !== null && cost > quota.limit);
}

/** Backlog in units; within rounding of a whole number it is that number, so that a burst counts to exactly the limit. */
function unitsTaken(backlogMs: number, unitMs: number): number {
  const units = backlogMs / unitMs;
  const whole = Math.round(units);
  return Math.abs(units - whole) * unitMs <= CLOCK_STEP_MS ? whole : units;
}

function secondsOf(ms: number): number {
  return Math.max(0, Math.ceil(ms / 1_000));
}
