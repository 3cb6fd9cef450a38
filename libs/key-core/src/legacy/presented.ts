import type { LegacyScheme } from '#contracts';

const PRINTABLE = /^[\x21-\x7e]+$/;

/** Whether a text may be a key of the scheme, as far as its look goes; costs no hash. */
export function fitsShape({ shape }: LegacyScheme, text: string): boolean {
  return (
    text.length >= shape.minLength &&
    text.length <= shape.maxLength &&
    (shape.prefix === undefined || text.startsWith(shape.prefix)) &&
    PRINTABLE.test(text)
  );
}

/** The part of a presented key that was hashed, or null where the text has no such part. */
export function hashedPart({ segment }: LegacyScheme, text: string): string | null {
  switch (segment.kind) {
    case 'whole':
      return text;
    case 'without':
      return text.startsWith(segment.prefix) ? orNull(text.slice(segment.prefix.length)) : null;
    default:
      return orNull(afterSeparator(text, segment.separator, segment.count));
  }
}

/** What says which key a presented text is; null where the scheme has no locator, or the text lacks it. */
export function locatorIn({ locator }: LegacyScheme, text: string): string | null {
  if (locator === undefined) return null;
  if (locator.kind === 'start')
    return text.length > locator.length ? text.slice(0, locator.length) : null;
  const parts = text.split(locator.separator);
  return orNull(parts.length > locator.index + 1 ? parts[locator.index]! : '');
}

function afterSeparator(text: string, separator: string, count: number): string {
  let start = 0;
  for (let found = 0; found < count; found += 1) {
    const at = text.indexOf(separator, start);
    if (at < 0) return '';
    start = at + separator.length;
  }
  return text.slice(start);
}

function orNull(part: string): string | null {
  return part === '' ? null : part;
}
