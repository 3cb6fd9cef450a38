import { KEY_TEXT } from '#contracts';
import { invalidField, ProblemException } from './problem-exception.js';

const MAX_DEPTH = 20;
const SHORTEST_KEY = 70;

interface Fault {
  /** RFC 6901 pointer, built on the way out. */
  pointer: string;
  code: 'INVALID_REQUEST' | 'KEY_IN_WRONG_PLACE';
  detail: string;
}

/**
 * What no body may hold, whatever its schema: NUL, lone surrogates, more than 20 levels, and, but for the few routes that ask
 * about keys, a key.
 *
 * @throws ProblemException INVALID_REQUEST or KEY_IN_WRONG_PLACE naming the place, never repeating the text
 */
export function checkBody(body: unknown, mayHoldKeys: boolean): void {
  const fault = faultOf(body, mayHoldKeys, 1);
  if (fault === null) return;
  if (fault.pointer !== '') throw invalidField(fault.pointer, fault.detail, fault.code);
  throw new ProblemException(fault.code, fault.detail);
}

function faultOf(value: unknown, mayHoldKeys: boolean, depth: number): Fault | null {
  if (typeof value === 'string') return faultOfText(value, mayHoldKeys);
  if (typeof value !== 'object' || value === null) return null;
  if (depth > MAX_DEPTH) return fault(`Nest the body at most ${MAX_DEPTH} levels deep`);
  for (const [name, item] of Object.entries(value)) {
    const ofName = faultOfText(name, mayHoldKeys);
    if (ofName !== null) return ofName;
    const found = faultOf(item, mayHoldKeys, depth + 1);
    if (found === null) continue;
    const step = name.replaceAll('~', '~0').replaceAll('/', '~1').slice(0, 128);
    return { ...found, pointer: `/${step}${found.pointer}` };
  }
  return null;
}

function faultOfText(text: string, mayHoldKeys: boolean): Fault | null {
  const isWellFormed = (text as string & { isWellFormed(): boolean }).isWellFormed();
  if (!isWellFormed || text.includes('\0'))
    return fault('Text may not hold NUL or lone surrogates');
  if (mayHoldKeys || text.length < SHORTEST_KEY || !KEY_TEXT.test(text)) return null;
  const detail = 'This is an API key: leave it out, treat it as leaked and replace it';
  return { pointer: '', code: 'KEY_IN_WRONG_PLACE', detail };
}

function fault(detail: string): Fault {
  return { pointer: '', code: 'INVALID_REQUEST', detail };
}
