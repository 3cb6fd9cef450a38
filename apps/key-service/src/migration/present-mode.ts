import type { ImportMode } from '#contracts';

const ORDER: readonly ImportMode[] = ['shadow', 'dual', 'cutover'];

/** The mode that a service is in: the least advanced of its imports', null without any. */
export function presentMode(modes: readonly ImportMode[]): ImportMode | null {
  const places = modes.map((mode) => ORDER.indexOf(mode));
  return places.length === 0 ? null : ORDER[Math.min(...places)]!;
}
