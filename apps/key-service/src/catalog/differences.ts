import { isDeepStrictEqual } from 'node:util';

/** The properties in which two states of one thing differ, as they were and as they are. */
export function differencesOf<T extends object>(
  before: T,
  after: T,
): { before: Partial<T>; after: Partial<T> } {
  const names = Object.keys(after) as (keyof T)[];
  const changed = names.filter((name) => !isDeepStrictEqual(before[name], after[name]));
  const only = (state: T) =>
    Object.fromEntries(changed.map((name) => [name, state[name]])) as Partial<T>;
  return { before: only(before), after: only(after) };
}
