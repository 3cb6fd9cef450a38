import type { Quota } from '#contracts';

/** When the next day or month begins in UTC, in milliseconds since 1970; null for a quota that is not refilled. */
export function nextRefillMs({ refill }: Quota, nowMs: number): number | null {
  if (refill === undefined) return null;
  const now = new Date(nowMs);
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  return refill.every === 'day' ? Date.UTC(year, month, day + 1) : Date.UTC(year, month + 1, 1);
}
