import { KEY_TEXT } from '#contracts';
import { invalidField } from './problem-exception.js';

/** So many levels a body may have. */
export const MAX_DEPTH = 20;
const SHORTEST_KEY = 70;

interface Fault {
  /** RFC 6901 pointer, built on the way out. */
  pointer: string;
  code: 'INVALID_VALUE' | 'KEY_IN_WRONG_PLACE';
  detail: string;
}

/** What is known of a body beforehand. */
export interface BodyTraits {
  /** It is of a route that asks about keys. */
  mayHoldKeys: boolean;
  /** It is ASCII without escapes. */
  isPlain?: boolean;
}

/**
 * What no body may hold, whatever its schema: NUL, lone surrogates, more than 20 levels, and, but for the few routes that ask
 * about keys, a key.
 *
 * @throws ProblemException INVALID_REQUEST or KEY_IN_WRONG_PLACE naming the place, never repeating the text
 */
export function checkBody(body: unknown, { mayHoldKeys, isPlain = false }: BodyTraits): void {
  const ofText = mayHoldKeys ? faultOfCharacters : faultOfText;
  const fault = faultOf(body, mayHoldKeys && isPlain ? noFault : ofText, 1);
  if (fault !== null) throw invalidField(fault.pointer, fault.detail, fault.code);
}

type TextRule = (text: string) => Fault | null;

const noFault: TextRule = () => null;

function faultOf(value: unknown, ofText: TextRule, depth: number): Fault | null {
  if (typeof value === 'string') return ofText(value);
  if (typeof value !== 'object' || value === null) return null;
  if (depth > MAX_DEPTH) return fault(`Nest the body at most ${MAX_DEPTH} levels deep`);
  for (const name of Object.keys(value)) {
    const ofName = ofText(name);
    if (ofName !== null) return ofName;
    const found = faultOf((value as Record<string, unknown>)[name], ofText, depth + 1);
    if (found === null) continue;
    const step = name.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 128);
    return { ...found, pointer: `/${step}${found.pointer}` };
  }
  return null;
}

function faultOfText(text: string): Fault | null {
  const ofCharacters = faultOfCharacters(text);
  if (ofCharacters !== null || text.length < SHORTEST_KEY || !KEY_TEXT.test(text))
    return ofCharacters;
  const detail = 'This is an API key: leave it out, treat it as leaked and replace it';
  return { pointer: '', code: 'KEY_IN_WRONG_PLACE', detail };
}

function faultOfCharacters(text: string): Fault | null {
  const isWellFormed = (text as string & { isWellFormed(): boolean }).isWellFormed();
  return isWellFormed && !text.includes('\0')
    ? null
    : fault('Text may not hold NUL or lone surrogates');
}

function fault(detail: string): Fault {
  return { pointer: '', code: 'INVALID_VALUE', detail };
}
