import { randomBytes } from 'node:crypto';
import { KEY_TEXT, maskSecrets } from '#contracts';
import * as fc from 'fast-check';
import { base62OfBytes } from './base62.js';
import { checksumOf } from './checksum.js';
import { makeKeyText, parseKeyText } from './key-text.js';
import { seededBytes } from './testing.js';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'.split('');
const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
const options = fc.record({
  prefix: fc.stringMatching(/^[a-z0-9]{1,12}$/),
  environment: fc.constantFrom('live' as const, 'test' as const),
});
const someKey = fc
  .tuple(options, fc.string())
  .map(([options, seed]) => makeKeyText(options, seededBytes(seed)));
const example = makeKeyText({ prefix: 'kw', environment: 'live' }, seededBytes('example'));

function withChecksum(body: string): string {
  return body + checksumOf(body);
}

describe('makeKeyText', () => {
  it('makes the published shape, which scanners know and logs mask', () => {
    fc.assert(
      fc.property(someKey, (key) => {
        expect(key.text).toMatch(KEY_TEXT);
        expect(maskSecrets(`a key ${key.text}.`)).toBe('a key [masked].');
        expect(key.text.length).toBeLessThanOrEqual(84);
      }),
    );
  });

  it('makes what is read back as it was made', () => {
    fc.assert(
      fc.property(options, fc.string(), (options, seed) => {
        const made = makeKeyText(options, seededBytes(seed));
        expect(parseKeyText(made.text)).toEqual(made);
        expect(made).toEqual({
          ...options,
          keyId: `key_${made.text.split('_')[2]}`,
          text: made.text,
          last4: made.text.slice(-4),
        });
      }),
    );
  });

  it('keeps the id and changes the secret where a key gets another one', () => {
    const next = makeKeyText(
      { prefix: 'kw', environment: 'live', keyId: example.keyId },
      seededBytes('next'),
    );
    expect(next.keyId).toBe(example.keyId);
    expect(next.text).not.toBe(example.text);
  });

  it('spells the bytes of the source, all 256 bits of them', () => {
    const { keyId } = example;
    const least = makeKeyText({ prefix: 'kw', environment: 'live', keyId }, (n) => Buffer.alloc(n));
    const most = makeKeyText({ prefix: 'kw', environment: 'live', keyId }, (n) =>
      Buffer.alloc(n, 0xff),
    );
    expect(least.text.slice(-49, -6)).toBe('0'.repeat(43));
    expect(most.text.slice(-49, -6)).toBe(base62OfBytes(Buffer.alloc(32, 0xff), 43));
    expect(parseKeyText(least.text)).toEqual(least);
    expect(parseKeyText(most.text)).toEqual(most);
  });

  it.each(['', 'K', 'k_w', 'k-w', 'thirteenchars', 'kw\n'])(
    'refuses the prefix %j, which no key can have',
    (prefix) => {
      expect(() => makeKeyText({ prefix, environment: 'live' }, randomBytes)).toThrow(RangeError);
    },
  );

  it.each([
    '3kTMd7QpXvB2nYcF',
    'key_3kTMd7QpXvB2nYc',
    'key_3kTMd7QpXvB2nYc-',
    'key_../../../../et',
  ])('refuses the id %j, which no key can have', (keyId) => {
    expect(() => makeKeyText({ prefix: 'kw', environment: 'live', keyId }, randomBytes)).toThrow(
      RangeError,
    );
  });

  it('refuses a source that gives too little', () => {
    const source = () => Buffer.alloc(16, 7);
    expect(() => makeKeyText({ prefix: 'kw', environment: 'live' }, source)).toThrow(RangeError);
  });

  it('makes 10,000 keys with distinct ids and secrets of evenly spread characters', () => {
    const source = seededBytes('ten thousand');
    const texts = Array.from(
      { length: 10_000 },
      () => makeKeyText({ prefix: 'kw', environment: 'live' }, source).text,
    );
    expect(new Set(texts.map((text) => text.slice(8, 24))).size).toBe(10_000);
    expect(new Set(texts.map((text) => text.slice(25, 68))).size).toBe(10_000);
    // The first character is left out: 62 ** 43 is a little more than 2 ** 256, so it is hardly ever the last letter.
    const secrets = texts.map((text) => text.slice(26, 68)).join('');
    const expected = secrets.length / 62;
    const counts = ALPHABET.map((one) => secrets.split(one).length - 1);
    const chiSquare = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(chiSquare).toBeLessThan(100.89); // p = 0.001 at 61 degrees of freedom
    expect(counts.reduce((sum, n) => sum + n)).toBe(secrets.length);
  });
});

describe('parseKeyText', () => {
  it('refuses a key with any one character changed to any other', () => {
    for (let place = 0; place < example.text.length; place++) {
      for (const other of [...ASCII, 'é', '\u212a', '\u{1f511}']) {
        if (other === example.text[place]) continue;
        const changed = example.text.slice(0, place) + other + example.text.slice(place + 1);
        expect(parseKeyText(changed)).toBeNull();
      }
    }
  });

  it('refuses any key with any one character changed', () => {
    const place = fc.nat({ max: 1_000 });
    const other = fc.constantFrom(...ALPHABET, '_');
    fc.assert(
      fc.property(someKey, place, other, ({ text }, place, other) => {
        const at = place % text.length;
        fc.pre(other !== text[at]);
        expect(parseKeyText(text.slice(0, at) + other + text.slice(at + 1))).toBeNull();
      }),
      { numRuns: 1_000 },
    );
  });

  it('refuses a key cut at any length, at either end', () => {
    for (let length = 0; length < example.text.length; length++) {
      expect(parseKeyText(example.text.slice(0, length))).toBeNull();
      expect(parseKeyText(example.text.slice(-length - 1, -1))).toBeNull();
      expect(parseKeyText(example.text.slice(example.text.length - length))).toBeNull();
    }
  });

  it('refuses a key with anything added, at either end', () => {
    for (const more of [...ASCII, example.text, ` ${example.text}`, '\r\n', '\u00a0', '\ufeff']) {
      expect(parseKeyText(example.text + more)).toBeNull();
      expect(parseKeyText(more + example.text)).toBeNull();
    }
  });

  it('refuses a key with two neighbouring characters swapped', () => {
    for (let place = 0; place + 1 < example.text.length; place++) {
      const [a, b] = [example.text[place]!, example.text[place + 1]!];
      if (a === b) continue;
      const swapped = example.text.slice(0, place) + b + a + example.text.slice(place + 2);
      expect(parseKeyText(swapped)).toBeNull();
    }
  });

  it('refuses a key in another case', () => {
    expect(parseKeyText(example.text.toUpperCase())).toBeNull();
    expect(parseKeyText(example.text.toLowerCase())).toBeNull();
  });

  it('refuses a right checksum on a wrong shape', () => {
    const secret = 'A'.repeat(43);
    const id = 'B'.repeat(16);
    expect(parseKeyText(withChecksum(`kw_live_${id}_${secret}`))).not.toBeNull();
    for (const body of [
      `KW_live_${id}_${secret}`,
      `_live_${id}_${secret}`,
      `thirteenchars_live_${id}_${secret}`,
      `kw_prod_${id}_${secret}`,
      `kw_LIVE_${id}_${secret}`,
      `kw_live_${id}B_${secret}`,
      `kw_live_${id.slice(1)}_${secret}`,
      `kw_live_${id}_${secret}A`,
      `kw_live_${id}_${secret.slice(1)}`,
      `kw_live_${id}-${secret}`,
      `kw_live_${id}_${secret.slice(1)}-`,
      `kw_live__${id}_${secret}`,
    ]) {
      expect(parseKeyText(withChecksum(body))).toBeNull();
    }
  });

  it('refuses a secret above 256 bits, which would be a second spelling', () => {
    const id = 'B'.repeat(16);
    const last = base62OfBytes(Buffer.alloc(32, 0xff), 43);
    const next = last.slice(0, -1) + ALPHABET[ALPHABET.indexOf(last.at(-1)!) + 1]!;
    expect(parseKeyText(withChecksum(`kw_live_${id}_${last}`))).not.toBeNull();
    expect(parseKeyText(withChecksum(`kw_live_${id}_${next}`))).toBeNull();
    expect(parseKeyText(withChecksum(`kw_live_${id}_${'z'.repeat(43)}`))).toBeNull();
  });

  it('refuses whatever is not a key', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(parseKeyText(text)).toBeNull();
      }),
    );
    expect(parseKeyText('kw_live_'.repeat(100_000))).toBeNull();
  });
});
