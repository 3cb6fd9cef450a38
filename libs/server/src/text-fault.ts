const NO_NUL = 'Text may not hold NUL';
const BAD_ENCODING = 'Percent-encode text in UTF-8';

/** What is wrong with a percent-encoded text, null where nothing is. */
export function faultOfEncoded(text: string): string | null {
  try {
    return decodeURIComponent(text).includes('\0') ? NO_NUL : null;
  } catch {
    return BAD_ENCODING;
  }
}
