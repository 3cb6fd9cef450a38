import type { ScopeRequirement } from '#contracts';

const WILDCARD = ':*';

/**
 * Whether a granted scope gives a wanted one: it is the same, or it is `reports:*` and the wanted one lies under `reports:`
 * at any depth. The wildcard gives neither the bare `reports` nor anything of `reports-old`.
 */
export function covers(granted: string, wanted: string): boolean {
  if (granted === wanted) return true;
  if (!granted.endsWith(WILDCARD)) return false;
  const stem = granted.slice(0, -1);
  return wanted.length > stem.length && wanted.startsWith(stem);
}

/** Whether the granted scopes give all of a list, or at least one of `anyOf`. Requiring nothing is always satisfied. */
export function satisfies(granted: readonly string[], required?: ScopeRequirement): boolean {
  if (required === undefined) return true;
  if (!Array.isArray(required)) return required.anyOf.some((wanted) => gives(granted, wanted));
  for (const wanted of required) if (!gives(granted, wanted)) return false;
  return true;
}

function gives(granted: readonly string[], wanted: string): boolean {
  for (const scope of granted) if (covers(scope, wanted)) return true;
  return false;
}
