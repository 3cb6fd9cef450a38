import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { seal, unseal } from './seal.js';

const key = randomBytes(32);
const random = randomBytes;

it('opens what was sealed, and twice the same text looks different', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (text, place) => {
      const sealed = seal(text, { key, place, random });
      expect(unseal(sealed, { key, place })).toBe(text);
      expect(seal(text, { key, place, random }).equals(sealed)).toBe(false);
    }),
  );
});

it('opens nothing that was altered, belongs elsewhere or was sealed with another key', () => {
  const sealed = seal('kw_live_secret', { key, place: 'a', random });
  expect(unseal(sealed, { key, place: 'b' })).toBeNull();
  expect(unseal(sealed, { key: randomBytes(32), place: 'a' })).toBeNull();
  for (let at = 0; at < sealed.length; at += 1) {
    const altered = Buffer.from(sealed);
    altered[at]! ^= 1;
    expect(unseal(altered, { key, place: 'a' })).toBeNull();
    expect(unseal(sealed.subarray(0, at), { key, place: 'a' })).toBeNull();
  }
});
