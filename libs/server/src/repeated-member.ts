/** Where a scan is in one object or list. */
interface Level {
  /** Names seen so far; null in a list. */
  names: Set<string> | null;
  /** What the value that is being read stands under: a name, or a place in a list. */
  name: string | number;
  isNameNext: boolean;
}

/** The least that another member takes: `"":0,`. */
const SHORTEST_MEMBER = 5;

/**
 * Whether a JSON text is too short to name a member that its value does not hold, and so names none twice. So it is of what is
 * written without spaces; of the rest `false` says nothing. Takes a tenth of what {@link repeatedMember} does.
 *
 * @param value what JSON.parse makes of the text
 */
export function leavesNoRoom(json: string, value: unknown): boolean {
  return json.length < leastLength(value) + SHORTEST_MEMBER;
}

/** No JSON text with this value is shorter. */
function leastLength(value: unknown): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 1;
  let length = 1;
  if (Array.isArray(value)) for (const one of value) length += 1 + leastLength(one);
  else
    for (const name in value)
      length += name.length + 4 + leastLength((value as Record<string, unknown>)[name]);
  return length;
}

/**
 * The path of the first member that an object names twice, null where there is none. RFC 8259 leaves open which one counts, and parsers
 * differ: who checks a request before us may have seen the other.
 *
 * @param json a valid JSON text
 */
export function repeatedMember(json: string): string[] | null {
  const levels: Level[] = [];
  for (let i = 0; i < json.length; i += 1) {
    if (json[i] !== '"') {
      follow(levels, json[i]!);
      continue;
    }
    const end = endOfText(json, i);
    const level = levels.at(-1);
    if (level?.isNameNext === true && !takeName(level, json.slice(i, end + 1)))
      return levels.map((one) => String(one.name));
    i = end;
  }
  return null;
}

/** Takes note of a character outside of all texts. */
function follow(levels: Level[], char: string): void {
  if (char === '{') levels.push({ names: new Set(), name: '', isNameNext: true });
  else if (char === '[') levels.push({ names: null, name: 0, isNameNext: false });
  else if (char === '}' || char === ']') levels.pop();
  else if (char === ',') {
    const level = levels.at(-1)!;
    if (typeof level.name === 'number') level.name += 1;
    else level.isNameNext = true;
  }
}

/** Whether it is new. */
function takeName(level: Level, quoted: string): boolean {
  const name = JSON.parse(quoted) as string;
  level.isNameNext = false;
  level.name = name;
  if (level.names!.has(name)) return false;
  level.names!.add(name);
  return true;
}

/** Place of the quote that ends the text which begins at `start`. */
function endOfText(json: string, start: number): number {
  let end = start + 1;
  while (json[end] !== '"') end += json[end] === '\\' ? 2 : 1;
  return end;
}
