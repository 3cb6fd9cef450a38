const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const BASE = ALPHABET.length;
/** The largest multiple of 62 that a byte can count to: bytes from here on would favour the first characters. */
const FAIR_BYTES = 256 - (256 % BASE);

/**
 * `value` in base62 (`0-9A-Za-z`), left-padded with `0` to `width` characters. The alphabet is in ASCII order, so texts of
 * one width compare as the numbers they stand for.
 *
 * @param value a non-negative integer below 62 ** width
 */
export function base62OfNumber(value: number, width: number): string {
  let text = '';
  for (let rest = value; text.length < width; rest = Math.floor(rest / BASE)) {
    text = ALPHABET.charAt(rest % BASE) + text;
  }
  return text;
}

/** {@link base62OfNumber} of the big-endian integer that `bytes` hold. */
export function base62OfBytes(bytes: Buffer, width: number): string {
  const base = BigInt(BASE);
  let text = '';
  for (let rest = BigInt(`0x${bytes.toString('hex')}`); text.length < width; rest /= base) {
    text = ALPHABET.charAt(Number(rest % base)) + text;
  }
  return text;
}

/** `length` base62 characters, each equally likely: bytes that would favour some are thrown away. */
export function randomBase62(length: number, random: (bytes: number) => Buffer): string {
  let text = '';
  while (text.length < length) {
    for (const byte of random(length - text.length)) {
      if (byte < FAIR_BYTES) text += ALPHABET.charAt(byte % BASE);
    }
  }
  return text;
}
