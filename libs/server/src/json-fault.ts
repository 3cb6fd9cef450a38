/** What may come next: a value, a member's name, its colon, or what goes on after a value; `OrEnd` where the list or object may close. */
type Next = 'value' | 'valueOrEnd' | 'name' | 'nameOrEnd' | 'colon' | 'after';

/** Where a scan is: what is open, as the brackets that close it, and what may come next. */
interface State {
  closers: string[];
  next: Next;
}

const PLAIN = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/**
 * Where a text ceases to be JSON, for people: `line 3, column 7`, counted from 1 in characters; null where it is JSON. Says
 * nothing of the text itself, which may hold a secret.
 */
export function jsonFault(text: string): string | null {
  const place = placeOfFault(text);
  if (place === null) return null;
  let line = 1;
  let start = 0;
  for (let at = text.indexOf('\n'); at >= 0 && at < place; at = text.indexOf('\n', start)) {
    line += 1;
    start = at + 1;
  }
  const where = `line ${line}, column ${place - start + 1}`;
  return place === text.length ? `${where}, where it ends too early` : where;
}

function placeOfFault(text: string): number | null {
  const state: State = { closers: [], next: 'value' };
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (' \t\n\r'.includes(char) || isMark(state, char)) at += 1;
    else if (!takesText(state, char)) return at;
    else {
      const { end, isWhole } = char === '"' ? quoted(text, at) : plain(text, at);
      if (!isWhole) return end;
      state.next = state.next.startsWith('name') ? 'colon' : 'after';
      at = end;
    }
  }
  return state.next === 'after' && state.closers.length === 0 ? null : at;
}

/** Goes over a bracket, comma or colon where it has a place. */
function isMark(state: State, mark: string): boolean {
  return opens(state, mark) || closes(state, mark) || goesOn(state, mark);
}

function opens(state: State, mark: string): boolean {
  if (!state.next.startsWith('value') || (mark !== '{' && mark !== '[')) return false;
  state.closers.push(mark === '{' ? '}' : ']');
  state.next = mark === '{' ? 'nameOrEnd' : 'valueOrEnd';
  return true;
}

function closes(state: State, mark: string): boolean {
  const mayEnd = state.next === 'after' || state.next.endsWith('OrEnd');
  if (!mayEnd || mark !== state.closers.at(-1)) return false;
  state.closers.pop();
  state.next = 'after';
  return true;
}

function goesOn(state: State, mark: string): boolean {
  const closer = state.closers.at(-1);
  if (state.next === 'colon' && mark === ':') state.next = 'value';
  else if (state.next === 'after' && mark === ',' && closer !== undefined)
    state.next = closer === '}' ? 'name' : 'value';
  else return false;
  return true;
}

/** Whether a text, or anything else that is written without brackets, has a place here. */
function takesText({ next }: State, first: string): boolean {
  return next.startsWith('value') || (next.startsWith('name') && first === '"');
}

/** How far something goes, or is good. */
interface Reach {
  end: number;
  isWhole: boolean;
}

function plain(text: string, start: number): Reach {
  PLAIN.lastIndex = start;
  const isWhole = PLAIN.test(text);
  return { end: isWhole ? PLAIN.lastIndex : start, isWhole };
}

function quoted(text: string, start: number): Reach {
  let end = start + 1;
  for (; end < text.length && text[end]! >= ' '; end += 1) {
    if (text[end] === '"') return { end: end + 1, isWhole: true };
    if (text[end] !== '\\') continue;
    ESCAPE.lastIndex = end;
    if (!ESCAPE.test(text)) break;
    end = ESCAPE.lastIndex - 1;
  }
  return { end, isWhole: false };
}
