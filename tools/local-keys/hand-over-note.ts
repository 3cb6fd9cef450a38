import type { HandedOver } from '../../apps/service-a/src/local-keys/hand-over.js';

/** What is said beside the counts of a hand-over where they alone may look like a failure; null where they do not. */
export function handOverNote({ imports, failed, ...counts }: HandedOver): string | null {
  const isAnything = [...Object.values(counts), imports.length, failed.length].some((n) => n > 0);
  return isAnything
    ? null
    : 'Nothing is new since the last hand-over: the key service has all there is';
}
