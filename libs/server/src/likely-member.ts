/** Names are compared as far as this. */
const LONGEST = 64;
/** What is shorter says too little. */
const SHORTEST = 3;

/**
 * The one of some names that another was likely meant to be; null where none is near, or several are. Near is what is a slip away, two in a
 * long word, or begins alike up to where one ends; case, `_` and `-` do not count.
 */
export function likelyMember(name: string, known: readonly string[]): string | null {
  if (name.length < SHORTEST || name.length > LONGEST) return null;
  const given = plain(name);
  const near = known.filter((one) => isNear(given, plain(one)));
  const [likely, another] = near.length > 1 ? near.filter((one) => plain(one) === given) : near;
  return another === undefined ? (likely ?? null) : null;
}

function plain(name: string): string {
  return name.replaceAll(/[_-]/g, '').toLowerCase();
}

function isNear(given: string, known: string): boolean {
  const shorter = Math.min(given.length, known.length);
  const isPart = given.startsWith(known) || known.startsWith(given);
  if (isPart && shorter >= SHORTEST) return true;
  // of a short word two slips make any other
  return slipsBetween(given, known) <= (shorter > 5 ? 2 : 1);
}

/** How many characters are to be put in, taken out, changed, or exchanged with their neighbour. */
function slipsBetween(one: string, other: string): number {
  let before: number[] = [];
  let row = Array.from({ length: other.length + 1 }, (_, place) => place);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const isSame = one[i - 1] === other[j - 1];
      const isSwap = i > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      const swapped = isSwap ? before[j - 2]! + 1 : Infinity;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (isSame ? 0 : 1), swapped));
    }
    before = row;
    row = next;
  }
  return row[other.length]!;
}
