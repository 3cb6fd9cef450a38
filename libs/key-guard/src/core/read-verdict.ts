import { verdict as verdictSchema, type Verdict } from '#contracts';
import { parseKeyText, satisfies } from '#key-core';
import type { OpenQuestion } from './question.js';
import { OddAnswer } from './unavailable.js';

/**
 * The verdict that an answer holds. It must be whole, of one mind with itself and about this very question: whatever is odd
 * lets nobody pass.
 *
 * @throws OddAnswer
 */
export function readVerdict(body: unknown, { question, permits }: OpenQuestion): Verdict {
  const parsed = verdictSchema.safeParse(body);
  if (!parsed.success) throw new OddAnswer('The key service answered with what is no verdict');
  const verdict = parsed.data;
  const fault = faultOf(verdict, question);
  if (fault !== null) throw new OddAnswer(`The key service contradicts itself: ${fault}`);
  if (permits === null) delete verdict.lease;
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

function faultOf(verdict: Verdict, { key, scopes }: OpenQuestion['question']): string | null {
  const { valid, code, keyId, lease } = verdict;
  if (valid !== (code === 'VALID')) return `valid is ${valid} with the code ${code}`;
  const about = parseKeyText(key);
  if (keyId !== undefined && about !== null && about.keyId !== keyId) return 'another key is meant';
  if (!valid && lease === undefined) return null;
  if (!isFull(verdict)) return 'too little is said of a key that is let through';
  return valid && !satisfies(verdict.scopes, scopes) ? 'a scope is missing' : null;
}
