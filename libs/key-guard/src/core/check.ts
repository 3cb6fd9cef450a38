import type { ScopeRequirement, TracedRequest, Verdict } from '#contracts';
import { addressOf, type KeyQuestion } from './question.js';
import { problemWith, refusalOf, refusalOn, type RefusalProblem } from './refusals.js';
import { VerificationUnavailable } from './unavailable.js';
import { headersOf, NO_HEADERS } from './verdict-headers.js';

/** What is looked at of a request; those of Express and Fastify have it. */
export interface GuardedRequest extends TracedRequest {
  /** Address of the caller, as far as the framework trusts its proxies. */
  ip?: string | undefined;
}

/** What to do with a request: let it through, or answer with status, headers and problem. The headers are for both. */
export type GuardAnswer =
  | { allowed: true; verdict: Verdict; headers: Readonly<Record<string, string>> }
  | {
      allowed: false;
      /** Null where no decision on a key was made. */
      verdict: Verdict | null;
      status: number;
      headers: Readonly<Record<string, string>>;
      /** Body of the answer, `application/problem+json`. */
      problem: RefusalProblem;
      /** Why nobody can decide; for the log. */
      cause?: unknown;
    };

/** Says whether a key may pass; at once where it is known. @throws VerificationUnavailable */
export type Verify = (question: KeyQuestion) => Verdict | Promise<Verdict>;

/** The answer that lets a request through. */
export type LetPass = GuardAnswer & { allowed: true };

/** Who decides on keys. */
export interface Decider {
  verify: Verify;
  /** How a key was let through for the same scopes lately, where that still holds; null where it is to be decided anew. */
  recall?: (key: string, scopes: ScopeRequirement) => LetPass | null;
}

/** More than any key has, imported ones included. */
const MAX_KEY_CHARACTERS = 1_024;

/**
 * What to do with a request whose `x-api-key` must be good for these scopes. No key is 401, a refused one 403, one over a limit
 * 429, and 503 when nobody can decide. The key is taken from that header only, not beside `Authorization`, and not where there
 * are two: which of two principals calls must not be a guess.
 */
export function checkRequest(
  { verify, recall }: Decider,
  request: GuardedRequest,
  scopes: ScopeRequirement,
): GuardAnswer | Promise<GuardAnswer> {
  const { headers } = request;
  const text = headers['x-api-key'];
  // before anything is looked at: what is recalled was
  if (recall !== undefined && typeof text === 'string' && headers.authorization === undefined) {
    const recalled = recall(text, scopes);
    if (recalled !== null) return recalled;
  }
  const key = keyIn(headers);
  if (typeof key !== 'string') return key;
  const verdict = verify({ key, scopes, clientIp: addressOf(request.ip), from: request });
  return verdict instanceof Promise ? verdict.then(answerOf, unavailable) : answerOf(verdict);
}

/** The one key that a request comes with, or the answer where that is not what it does. */
function keyIn(headers: GuardedRequest['headers']): string | GuardAnswer {
  const key = headers['x-api-key'];
  if (key !== undefined && headers.authorization !== undefined)
    return refused(problemWith('INVALID_HEADER', 'Send x-api-key or Authorization, not both'));
  if (isSeveral(key))
    return refused(problemWith('INVALID_HEADER', 'Send one key in x-api-key, once'));
  if (typeof key !== 'string' || key.trim() === '') {
    const problem = problemWith('API_KEY_MISSING', 'Send the key in the x-api-key header');
    return refused(problem, { 'WWW-Authenticate': 'ApiKey' });
  }
  // Longer than any key can be: junk, which costs no question.
  return key.length > MAX_KEY_CHARACTERS ? refused(refusalOf('MALFORMED')) : key;
}

/** Whether a text is one that a header may present as a key. */
export function isOneKey(text: string): boolean {
  return keyIn({ 'x-api-key': text }) === text;
}

/** Node joins headers of one name by a comma, which is in no key; other servers may give a list. */
function isSeveral(key: string | string[] | undefined): boolean {
  return typeof key === 'string' ? key.includes(',') : key !== undefined && key.length > 1;
}

function answerOf(verdict: Verdict): GuardAnswer {
  const { valid, code } = verdict;
  if (valid !== (code === 'VALID'))
    return unavailable(
      new VerificationUnavailable(`A verdict has valid ${valid} and code ${code}`),
    );
  const headers = headersOf(verdict);
  if (code === 'VALID') return { allowed: true, verdict, headers };
  return { ...refused(refusalOn({ ...verdict, code }), headers), verdict };
}

function refused(
  problem: RefusalProblem,
  headers: Readonly<Record<string, string>> = NO_HEADERS,
): GuardAnswer & { allowed: false } {
  return { allowed: false, verdict: null, status: problem.status, headers, problem };
}

function unavailable(cause: unknown): GuardAnswer {
  if (!(cause instanceof VerificationUnavailable)) throw cause;
  const problem = problemWith('VERIFICATION_UNAVAILABLE', 'Keep the key and try again shortly');
  return { ...refused(problem, { 'Retry-After': '1' }), cause };
}
