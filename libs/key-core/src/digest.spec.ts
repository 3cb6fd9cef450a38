import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { deriveKey } from './derive-key.js';
import { DUMMY_DIGEST, digestKey, sameDigest } from './digest.js';
import { seededBytes } from './testing.js';

const pepper = seededBytes('pepper')(32);

describe('digestKey', () => {
  it('is the HMAC-SHA-256 of the context, a zero byte and the whole text', () => {
    const expected = createHmac('sha256', pepper).update('keyward/key/v1\0kw_live_x').digest();
    expect(digestKey(pepper, 'kw_live_x')).toEqual(expected);
  });

  it('is that for every text, as long and odd as it may be, and for every pepper', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ maxLength: 400 }),
    );
    const peppers = fc.uint8Array({ minLength: 1, maxLength: 130 }).map((one) => Buffer.from(one));
    fc.assert(
      fc.property(peppers, fc.array(texts, { maxLength: 4 }), (one, several) => {
        for (const text of several) {
          const expected = createHmac('sha256', one).update(`keyward/key/v1\0${text}`).digest();
          expect(digestKey(one, text)).toEqual(expected);
        }
      }),
    );
  });

  it('differs with the text and with the pepper', () => {
    const other = seededBytes('other')(32);
    const digests = [
      digestKey(pepper, 'kw_live_x'),
      digestKey(pepper, 'kw_live_y'),
      digestKey(pepper, ''),
      digestKey(other, 'kw_live_x'),
    ].map((one) => one.toString('hex'));
    expect(new Set(digests).size).toBe(4);
  });
});

describe('sameDigest', () => {
  it('is equality of bytes', () => {
    const bytes = fc.uint8Array({ maxLength: 4 }).map((one) => Buffer.from(one));
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(sameDigest(a, b)).toBe(a.equals(b));
        expect(sameDigest(a, Buffer.from(a))).toBe(true);
      }),
    );
  });

  it('compares a dummy of the length of a digest', () => {
    expect(DUMMY_DIGEST).toHaveLength(digestKey(pepper, '').length);
    expect(sameDigest(DUMMY_DIGEST, digestKey(pepper, ''))).toBe(false);
  });
});

describe('deriveKey', () => {
  it('gives each purpose and each root its own 32 bytes, always the same', () => {
    const keys = [
      deriveKey(pepper, 'cache-mac/v1'),
      deriveKey(pepper, 'cursor/v1'),
      deriveKey(seededBytes('other')(32), 'cache-mac/v1'),
    ];
    expect(keys.map((key) => key.length)).toEqual([32, 32, 32]);
    expect(new Set(keys.map((key) => key.toString('hex'))).size).toBe(3);
    expect(deriveKey(pepper, 'cache-mac/v1')).toEqual(keys[0]);
  });

  it('gives what HKDF of RFC 5869 gives', () => {
    const extracted = createHmac('sha256', Buffer.alloc(32)).update(pepper).digest();
    const expanded = createHmac('sha256', extracted).update('keyward/cursor/v1\x01').digest();
    expect(deriveKey(pepper, 'cursor/v1')).toEqual(expanded);
  });
});
