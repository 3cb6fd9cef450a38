import type { ImportMode } from '#contracts';

const ORDER: readonly ImportMode[] = ['shadow', 'dual', 'cutover'];

/** Of a row `i` of `keys.import`, that it gave keys, or new secrets to keys: one whose items have all failed says nothing of its service. */
export const HAS_KEYS =
  '(i.has_secrets OR EXISTS (SELECT FROM keys.imported_key k WHERE k.import_id = i.id))';

/** The mode that a service is in: the least advanced of its imports' that have keys, null without any. */
export function presentMode(modes: readonly ImportMode[]): ImportMode | null {
  const places = modes.map((mode) => ORDER.indexOf(mode));
  return places.length === 0 ? null : ORDER[Math.min(...places)]!;
}
