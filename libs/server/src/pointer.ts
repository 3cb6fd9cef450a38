import { maskSecrets } from '#contracts';

/** RFC 6901 pointer to a place; what it names is cut and masked, as callers name properties as they like. */
export function pointerOf(path: readonly PropertyKey[]): string {
  const parts = path.map((part) =>
    String(part).slice(0, 128).replaceAll('~', '~0').replaceAll('/', '~1'),
  );
  return maskSecrets(parts.map((part) => `/${part}`).join(''));
}
