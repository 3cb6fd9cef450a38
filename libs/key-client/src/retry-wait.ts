/** How a call goes on after an answer that asks to wait. */
export interface RetryOptions {
  /** How often 429 and 503 are asked again; 2 by default, 0 for never. */
  retries?: number;
  /** Bound of the whole call with its waits, in milliseconds; 30,000 by default. */
  budgetMs?: number;
}

/** Wait where the answer names none: this, doubled with each retry, in milliseconds. */
const FIRST_WAIT_MS = 500;
/** Added to every wait at random, so that those who were sent away together do not come back together. */
const JITTER = 0.2;
const LEAST_JITTER_MS = 100;

/**
 * How long to wait before asking again, in milliseconds: never less than `Retry-After` says (seconds or a date, RFC 9110).
 *
 * @param retry number of the retry that is to come, from 1
 * @param random from 0 to 1
 */
export function retryWaitMs(
  headers: Headers,
  { retry, nowMs, random }: { retry: number; nowMs: number; random: number },
): number {
  const told = retryAfterMs(headers.get('retry-after'), nowMs);
  const waitMs = told ?? FIRST_WAIT_MS * 2 ** (retry - 1);
  return waitMs + random * Math.max(LEAST_JITTER_MS, waitMs * JITTER);
}

function retryAfterMs(value: string | null, nowMs: number): number | null {
  if (value === null) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000;
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}
