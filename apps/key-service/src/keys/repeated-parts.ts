import type { Grant } from '#contracts';
import type { KeyRow } from './key.entity.js';
import type { SecretEntity } from './secret.entity.js';

/** What the row of a new key repeats of its grants and its first secret: as the database would put it there, which then need not write. */
export function repeatedParts(
  grants: readonly Grant[],
  { prefix, last4 }: Pick<SecretEntity, 'prefix' | 'last4'>,
) {
  return {
    grants: grants.toSorted((a, b) => (a.service < b.service ? -1 : 1)),
    hintPrefix: prefix,
    hintLast4: last4,
    previousUntil: null,
    previousEnded: null,
  } satisfies Partial<KeyRow>;
}
