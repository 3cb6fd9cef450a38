import { base62OfBytes, base62OfNumber, randomBase62 } from './base62.js';
import { checksumOf } from './checksum.js';
import { seededBytes } from './testing.js';

describe('checksumOf', () => {
  it('is the CRC32 that the world uses, in base62', () => {
    // The check value of CRC-32/ISO-HDLC is 0xcbf43926 for "123456789".
    expect(checksumOf('123456789')).toBe(base62OfNumber(0xcbf43926, 6));
    expect(checksumOf('123456789')).toBe('3jZRME');
  });

  it('has always 6 characters', () => {
    expect(checksumOf('')).toBe('000000');
    expect(base62OfNumber(0xffffffff, 6)).toBe('4gfFC3');
  });
});

describe('base62', () => {
  it('gives bytes the digits of the number that they hold', () => {
    expect(base62OfBytes(Buffer.from([61]), 2)).toBe('0z');
    expect(base62OfBytes(Buffer.from([62]), 2)).toBe('10');
    expect(base62OfBytes(Buffer.from([1, 0]), 3)).toBe(base62OfNumber(256, 3));
  });

  it('is in the order of the numbers', () => {
    const texts = [0, 1, 9, 10, 35, 36, 61, 62, 3_843, 3_844].map((one) => base62OfNumber(one, 4));
    expect(texts.toSorted()).toEqual(texts);
  });

  it('throws bytes away that would favour some characters, and asks for more', () => {
    const asked: number[] = [];
    const source = (bytes: number) => {
      asked.push(bytes);
      return Buffer.alloc(bytes, asked.length === 1 ? 248 : 247);
    };
    expect(randomBase62(16, source)).toBe('z'.repeat(16));
    expect(asked).toEqual([16, 16]);
  });

  it('draws every character equally often', () => {
    const text = randomBase62(62_000, seededBytes('base62'));
    expect(text).toHaveLength(62_000);
    expect(chiSquare(text)).toBeLessThan(CHI_SQUARE_61_AT_0001);
  });
});

/** Quantile of the chi-square distribution of 61 degrees of freedom at p = 0.001. */
const CHI_SQUARE_61_AT_0001 = 100.89;

function chiSquare(text: string): number {
  const counts = new Map<string, number>();
  for (const one of text) counts.set(one, (counts.get(one) ?? 0) + 1);
  const expected = text.length / 62;
  const seen = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
  return seen + (62 - counts.size) * expected;
}
