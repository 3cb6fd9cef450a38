import { crc32 } from 'node:zlib';
import { base62OfNumber } from './base62.js';

export const CHECKSUM_LENGTH = 6;

/**
 * CRC32 (the one of zlib and PNG) of an ASCII text, as 6 base62 characters. It tells a mistyped or cut key and junk from a
 * key without any look-up; it proves nothing.
 */
export function checksumOf(text: string): string {
  return base62OfNumber(crc32(text), CHECKSUM_LENGTH);
}
