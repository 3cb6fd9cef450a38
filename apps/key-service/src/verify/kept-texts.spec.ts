import * as fc from 'fast-check';
import { inOnePiece, SharedTexts } from './kept-texts.js';

describe('what is kept of a text', () => {
  it('is the text as it was, as long as its characters are whole', () => {
    const shared = new SharedTexts();
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect([inOnePiece(text), shared.of(text)]).toEqual([text, text]);
      }),
    );
  });

  it('is right for more texts than are held', () => {
    const shared = new SharedTexts();
    const texts = Array.from({ length: 2_500 }, (_, n) => `text ${n}`);
    for (const text of [...texts, ...texts]) expect(shared.of(text)).toBe(text);
  });
});
