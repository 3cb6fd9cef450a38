import {
  PROBLEM_OF_REFUSAL,
  problemOf,
  type ErrorCode,
  type Refusal,
  type Verdict,
} from '#contracts';

type RefusalCode = (typeof PROBLEM_OF_REFUSAL)[Refusal];

/** What a caller is told who is not let through: the members of an RFC 9457 problem that the reason fixes. */
export type RefusalProblem = ReturnType<typeof problemOf> & { detail: string };

const DETAILS = {
  API_KEY_INVALID: 'Send a key that was issued for this service',
  API_KEY_REVOKED: 'Ask for a new key; this one was revoked',
  API_KEY_EXPIRED: 'Ask for a new key; this one has expired',
  API_KEY_SUPERSEDED: 'Use the newer secret of this key; this one has ended',
  API_KEY_NOT_YET_VALID: 'Wait until the key becomes valid',
  API_KEY_DISABLED: 'Ask for the key to be enabled again',
  INSUFFICIENT_SCOPE: 'Ask for a key with the scope that this needs',
  IP_NOT_ALLOWED: 'Call from an address that the key allows',
  WRONG_ENVIRONMENT: 'Use a key of this environment',
  RATE_LIMITED: 'Slow down and try again after the time in Retry-After',
  QUOTA_EXCEEDED: 'The quota of this key is used up; try again after the time in Retry-After',
} as const satisfies Record<RefusalCode, string>;

/**
 * What a caller is told of a refused key. A malformed key, an unknown one, a wrong secret and a key of another service are
 * one and the same answer.
 */
export function refusalOf(code: Refusal): RefusalProblem {
  const errorCode = PROBLEM_OF_REFUSAL[code];
  return problemWith(errorCode, DETAILS[errorCode]);
}

/** The same for a verdict: one that no wait can change says so. */
export function refusalOn({ code, costExceedsLimit }: Verdict & { code: Refusal }): RefusalProblem {
  if (!costExceedsLimit) return refusalOf(code);
  return problemWith(
    PROBLEM_OF_REFUSAL[code],
    'Ask for wider limits; this costs more than they hold',
  );
}

/** A problem with its detail. */
export function problemWith(code: ErrorCode, detail: string): RefusalProblem {
  return { ...problemOf(code), detail };
}
