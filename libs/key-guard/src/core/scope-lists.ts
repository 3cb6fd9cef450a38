import type { ScopeRequirement } from '#contracts';

/** Lists that are kept: those of a service's routes. */
const MOST = 64;

/**
 * One copy of each list of scopes that routes ask for, so that two of the same are known to be by being one. By what they
 * hold: a list that was changed in between is another one.
 */
export class ScopeLists {
  private readonly lists: (readonly string[])[] = [];

  /** Null for what is not a plain list, and for lists beyond those that are kept. */
  of(scopes: ScopeRequirement | undefined): readonly string[] | null {
    if (!Array.isArray(scopes)) return null;
    for (const list of this.lists) if (isSameList(list, scopes)) return list;
    if (this.lists.length >= MOST) return null;
    const list = Object.isFrozen(scopes) ? scopes : Object.freeze([...scopes]);
    this.lists.push(list);
    return list;
  }
}

/** Whether what is asked for is a plain list of the same scopes. @param list a frozen one */
export function isSameList(list: readonly string[], scopes: ScopeRequirement): boolean {
  if (list === scopes) return true;
  if (!Array.isArray(scopes) || list.length !== scopes.length) return false;
  for (let i = 0; i < list.length; i += 1) if (list[i] !== scopes[i]) return false;
  return true;
}
