import type { Candidate } from './candidates.js';
import { SlowLocators } from './slow-locators.js';

const [a, b, c] = ['a', 'b', 'c'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer];
const candidate = (lookup: Buffer, pepperVersion: number): Candidate => ({
  ...{ keyId: 'key_0000000000000000', importId: 'imp_1', secretNumber: 1 },
  ...{ lookup, sealed: null, digest: Buffer.alloc(32), pepperVersion },
});

describe('look-ups that find nothing but slow hashes', () => {
  it('are known for a second', () => {
    const slow = new SlowLocators();
    slow.note([a], [candidate(a, 0)], 1_000);
    expect([slow.are([a], 1_000), slow.are([a], 1_999), slow.are([a], 2_000)]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('are not those that found a digest of our own, or nothing, or were never made', () => {
    const slow = new SlowLocators();
    slow.note([a, b], [candidate(a, 0), candidate(a, 2)], 0);
    expect([a, b, c].map((one) => slow.are([one], 1))).toEqual([false, false, false]);
  });

  it('have to be all that a text could be found by', () => {
    const slow = new SlowLocators();
    slow.note([a, b], [candidate(a, 0), candidate(b, 0)], 0);
    expect([slow.are([a, b], 1), slow.are([a, c], 1), slow.are([], 1)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
