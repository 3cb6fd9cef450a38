import type { Candidate } from './candidates.js';
import { SlowLocators } from './slow-locators.js';

const [a, b, c] = ['a', 'b', 'c'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer];
const candidate = (lookup: Buffer, pepperVersion: number): Candidate => ({
  ...{ keyId: 'key_0000000000000000', importId: 'imp_1', secretNumber: 1 },
  ...{ lookup, sealed: null, digest: Buffer.alloc(32), pepperVersion },
});

describe('look-ups that find nothing but slow hashes', () => {
  it('are known for half a minute, however few changes are told', () => {
    const slow = new SlowLocators();
    slow.note([a], [candidate(a, 0)], { nowMs: 1_000, state: slow.state });
    expect([1_000, 30_999, 31_000].map((nowMs) => slow.are([a], nowMs))).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('are not those that found a digest of our own, or nothing, or were never made', () => {
    const slow = new SlowLocators();
    slow.note([a, b], [candidate(a, 0), candidate(a, 2)], { nowMs: 0, state: slow.state });
    expect([a, b, c].map((one) => slow.are([one], 1))).toEqual([false, false, false]);
  });

  it('have to be all that a text could be found by', () => {
    const slow = new SlowLocators();
    slow.note([a, b], [candidate(a, 0), candidate(b, 0)], { nowMs: 0, state: slow.state });
    expect([slow.are([a, b], 1), slow.are([a, c], 1), slow.are([], 1)]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('are looked up anew after a change, also one that came while they were being looked up', () => {
    const slow = new SlowLocators();
    const found = [candidate(a, 0)];
    const { state } = slow;
    slow.note([a], found, { nowMs: 0, state });
    slow.forget();
    expect(slow.are([a], 1)).toBe(false);
    slow.note([a], found, { nowMs: 1, state });
    expect(slow.are([a], 2)).toBe(false);
    slow.note([a], found, { nowMs: 2, state: slow.state });
    expect(slow.are([a], 3)).toBe(true);
  });
});
