import { fitsShape } from '#key-core/legacy';
import type { ClosedRule, ImportRule } from './import-rules.js';

/*
 * Keys with the form of our own that came with an import, for services whose old side alone counts for them. A use in `dual` gives such
 * a key a digest of ours, by which it would open after the service has gone back to `shadow`, whatever the old side says of it.
 */

type Rule = Pick<ImportRule | ClosedRule, 'id' | 'mode' | 'scheme'>;

/** Whether a text may be such a key, by the imports of the service that asks; hardly any work where none is in `shadow`. */
export function mayBeHeldBack(text: string, rules: readonly Rule[]): boolean {
  for (const { mode, scheme } of rules)
    if (mode === 'shadow' && (scheme === null || fitsShape(scheme, text))) return true;
  return false;
}

/** Whether a key that came with this import, or was issued here, is one. */
export function isHeldBack(importId: string | null, rules: readonly Rule[]): boolean {
  return importId !== null && rules.some(({ id, mode }) => mode === 'shadow' && id === importId);
}
