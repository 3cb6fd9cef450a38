import * as fc from 'fast-check';
import { inOnePiece } from './in-one-piece.js';

it('gives every text back as it is, as long as its characters are whole', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      expect(inOnePiece(text)).toBe(text);
    }),
  );
});
