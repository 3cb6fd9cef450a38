import type { Verdict } from '#contracts';

/** Wait that is named where a verdict names none, in seconds. */
const UNKNOWN_WAIT_SECONDS = 60;

/** What most verdicts add. */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/**
 * Headers that a protected service adds for a verdict: `RateLimit-Policy` and `RateLimit` (IETF httpapi draft 10) for its
 * limits and quota, `Retry-After` where it is over one and waiting helps, `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) while a
 * superseded secret still passes. `Deprecation` is when it was superseded, and left out where the verdict does not tell. Frozen, as
 * several requests may share them.
 */
export function headersOf(verdict: Verdict): Readonly<Record<string, string>> {
  const { code, rateLimits, quota, rotation } = verdict;
  const isPlain = rateLimits === undefined && quota === undefined && rotation === undefined;
  if (isPlain && code === 'VALID') return NO_HEADERS;
  return Object.freeze({
    ...limitHeaders(verdict),
    ...(isWaitOfUse(verdict) && { 'Retry-After': String(waitSecondsOf(verdict)) }),
    ...(rotation && rotationHeaders(rotation)),
  });
}

function rotationHeaders({
  since,
  validUntil,
}: NonNullable<Verdict['rotation']>): Record<string, string> {
  return {
    ...(since !== undefined && { Deprecation: `@${Math.floor(Date.parse(since) / 1_000)}` }),
    Sunset: new Date(validUntil).toUTCString(),
  };
}

function limitHeaders({ rateLimits = [], quota, decision }: Verdict): Record<string, string> {
  const limits = rateLimits.map(({ name, limit, remaining, resetSeconds }) => ({
    policy: `"${name}";q=${limit}`,
    state: `"${name}";r=${remaining};t=${Math.ceil(resetSeconds)}`,
  }));
  if (quota) {
    const reset = quota.resetsAt === null ? null : secondsFrom(decision.asOf, quota.resetsAt);
    limits.push({
      policy: `"quota";q=${quota.limit}`,
      state: `"quota";r=${quota.remaining}${reset === null ? '' : `;t=${reset}`}`,
    });
  }
  if (limits.length === 0) return {};
  return {
    'RateLimit-Policy': limits.map((one) => one.policy).join(', '),
    RateLimit: limits.map((one) => one.state).join(', '),
  };
}

function isWaitOfUse({ code, costExceedsLimit }: Verdict): boolean {
  return !costExceedsLimit && (code === 'RATE_LIMITED' || code === 'QUOTA_EXCEEDED');
}

function waitSecondsOf({ retryAfterSeconds, rateLimits = [] }: Verdict): number {
  if (retryAfterSeconds !== undefined) return Math.max(1, retryAfterSeconds);
  const spent = rateLimits.filter((one) => one.remaining === 0).map((one) => one.resetSeconds);
  return spent.length > 0 ? Math.max(1, Math.ceil(Math.max(...spent))) : UNKNOWN_WAIT_SECONDS;
}

function secondsFrom(start: string, end: string): number {
  return Math.max(0, Math.ceil((Date.parse(end) - Date.parse(start)) / 1_000));
}
