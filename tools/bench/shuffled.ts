/** The same in a random order. */
export function shuffled<T>(items: readonly T[]): T[] {
  const all = [...items];
  for (let left = all.length; left > 1; left -= 1) {
    const other = Math.floor(Math.random() * left);
    [all[left - 1], all[other]] = [all[other]!, all[left - 1]!];
  }
  return all;
}
