import type { Quota } from '#contracts';

/**
 * When the next day or month begins in UTC, in milliseconds since 1970; null for a quota that is not refilled.
 *
 * @param refills which one of those to come, 1 for the next
 */
export function nextRefillMs({ refill }: Quota, nowMs: number, refills = 1): number | null {
  if (refill === undefined) return null;
  const now = new Date(nowMs);
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  return refill.every === 'day'
    ? Date.UTC(year, month, day + refills)
    : Date.UTC(year, month + refills, 1);
}
