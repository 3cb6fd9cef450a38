import { verdict as verdictSchema, type Environment, type Verdict } from '#contracts';
import { inRanges, parseKeyText, satisfies } from '#key-core';
import type { OpenQuestion } from './question.js';
import { Contradiction, OddAnswer } from './unavailable.js';

/** What an answer must fit. */
export type Asked = Pick<OpenQuestion, 'question' | 'permits'> & {
  /** The only one whose keys may pass. */
  environment: Environment;
};

/** Refusals that hold for every request with this key, whatever it asks: no lease comes with one. */
export const FOR_ALL: ReadonlySet<string> = new Set([
  'MALFORMED',
  'NOT_FOUND',
  'REVOKED',
  'DISABLED',
  'EXPIRED',
  'SUPERSEDED',
  'NOT_YET_VALID',
]);

/** The clocks of key service and guard may differ by so much. */
const SKEW_MS = 60_000;

/**
 * The verdict that an answer holds. It must be whole, of one mind with itself and about this very question: whatever is odd
 * lets nobody pass.
 *
 * @throws OddAnswer, and Contradiction where it is a verdict
 */
export function readVerdict(body: unknown, asked: Asked): Verdict {
  const parsed = verdictSchema.safeParse(body);
  if (!parsed.success) throw new OddAnswer('The key service answered with what is no verdict');
  const verdict = parsed.data;
  const fault = faultOf(verdict, asked);
  if (fault !== null) throw new Contradiction(`The key service contradicts itself: ${fault}`);
  if (asked.permits === null) delete verdict.lease;
  return verdict;
}

/** A verdict that names all of its key. */
export type FullVerdict = Verdict & {
  [Name in (typeof NAMED)[number]]: NonNullable<Verdict[Name]>;
};

/** Members that are there wherever a key is let through, or leased. */
const NAMED = ['keyId', 'secretNumber', 'consumer', 'environment', 'scopes'] as const;

/** Whether a verdict names all of its key. */
export function isFull(verdict: Verdict): verdict is FullVerdict {
  return NAMED.every((name) => verdict[name] !== undefined);
}

function faultOf(verdict: Verdict, asked: Asked): string | null {
  const { valid, code, keyId, lease } = verdict;
  if (valid !== (code === 'VALID')) return `valid is ${valid} with the code ${code}`;
  const about = parseKeyText(asked.question.key);
  if (keyId !== undefined && about !== null && about.keyId !== keyId) return 'another key is meant';
  if (!valid && lease === undefined) return null;
  if (!isFull(verdict)) return 'too little is said of a key that is let through';
  return valid ? passFaultOf(verdict, asked) : leaseFaultOf(verdict);
}

/** Why nothing can have been leased with a refusal. */
function leaseFaultOf({ code, lease }: FullVerdict): string | null {
  if (FOR_ALL.has(code)) return `a lease comes with the code ${code}`;
  return (lease?.permits ?? 0) > 0 ? `units are leased with the code ${code}` : null;
}

function passFaultOf(verdict: FullVerdict, asked: Asked): string | null {
  return FAULTS.find(([, is]) => is(verdict, asked))?.[0] ?? null;
}

/** Why a key cannot have been let through, by what the answer itself says of it. */
const FAULTS: readonly [fault: string, is: (verdict: FullVerdict, asked: Asked) => boolean][] = [
  ['a scope is missing', ({ scopes }, { question }) => !satisfies(scopes, question.scopes)],
  ['the key is of another environment', (told, asked) => told.environment !== asked.environment],
  ['the key has expired', ({ expiresAt }) => isAgo(expiresAt)],
  ['the secret has ended', ({ rotation }) => isAgo(rotation?.validUntil)],
  ['the key is not usable yet', ({ lease }) => isAhead(lease?.notBefore)],
  [
    'the address is not allowed',
    ({ lease }, { question }) => !isAllowed(lease?.ipAllowlist ?? [], question.clientIp),
  ],
];

function isAgo(time: string | null | undefined): boolean {
  return typeof time === 'string' && Date.parse(time) + SKEW_MS < Date.now();
}

function isAhead(time: string | null | undefined): boolean {
  return typeof time === 'string' && Date.parse(time) - SKEW_MS > Date.now();
}

function isAllowed(allowlist: readonly string[], clientIp: string | undefined): boolean {
  return allowlist.length === 0 || (clientIp !== undefined && inRanges(allowlist, clientIp));
}
