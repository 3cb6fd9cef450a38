import * as fc from 'fast-check';
import { UsageBuffer, type Counted } from './usage-buffer.js';

const NOON_MS = Date.parse('2027-01-31T12:00:00Z');
const use = (over: Partial<Counted> = {}): Counted => ({
  keyId: 'key_0000000000000001',
  secretNumber: 1,
  superseded: false,
  service: 'service-a',
  code: 'VALID',
  ...over,
});

describe('UsageBuffer', () => {
  it('counts what differs in anything apart', () => {
    const buffer = new UsageBuffer();
    const different = [
      use(),
      use({ keyId: '' }),
      use({ secretNumber: 2 }),
      use({ superseded: true }),
      use({ service: 'service-x' }),
      use({ code: 'EXPIRED' }),
    ];
    const minute = NOON_MS / 60_000;
    const expected = different.flatMap((one) => [
      { ...one, minute, count: 2, lastMs: NOON_MS + 59_999 },
      { ...one, minute: minute + 1, count: 1, lastMs: NOON_MS + 60_000 },
    ]);
    for (const one of different) {
      buffer.count(one, NOON_MS);
      buffer.count(one, NOON_MS + 59_999);
      buffer.count(one, NOON_MS + 60_000);
    }
    const taken = buffer.take(100);
    expect(taken).toHaveLength(expected.length);
    expect(taken).toEqual(expect.arrayContaining(expected));
    expect(buffer.isEmpty).toBe(true);
  });

  it('counts the same object again after its count was taken out', () => {
    const buffer = new UsageBuffer();
    const one = use();
    for (let n = 0; n < 3; n++) buffer.count(one, NOON_MS);
    expect(buffer.take(100).map(({ count }) => count)).toEqual([3]);
    for (let n = 0; n < 2; n++) buffer.count(one, NOON_MS);
    buffer.count(use(), NOON_MS);
    expect(buffer.take(100).map(({ count }) => count)).toEqual([3]);
  });

  it('leaves what was taken out as it is, whatever is counted afterwards', () => {
    const buffer = new UsageBuffer();
    const one = use();
    buffer.count(one, NOON_MS);
    const taken = buffer.take(100);
    for (let n = 1; n < 5; n++) buffer.count(one, NOON_MS + n * 60_000);
    expect(taken).toEqual([{ ...use(), minute: NOON_MS / 60_000, count: 1, lastMs: NOON_MS }]);
    expect(buffer.take(100).map(({ minute }) => minute - NOON_MS / 60_000)).toEqual([4, 3, 2, 1]);
  });

  it('counts for several objects that say the same what was counted for each', () => {
    const buffer = new UsageBuffer();
    const [one, other] = [use(), use()];
    const taken = [0, 1].map((minute) => {
      for (const ms of [0, 30_000])
        for (const each of [one, other, one]) buffer.count(each, NOON_MS + minute * 60_000 + ms);
      return buffer.take(100).map(({ count }) => count);
    });
    expect(taken).toEqual([[6], [6]]);
  });

  it('counts as much as was counted, whoever counts, in whatever order, with whatever taken in between', () => {
    const step = fc.record({
      who: fc.nat(5),
      afterMs: fc.constantFrom(0, 1, 700, 2_500, 60_000),
      take: fc.constantFrom(0, 0, 0, 1, 3, 100),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 200 }),
        fc.constantFrom(4, 100_000),
        (steps, most) => {
          const buffer = new UsageBuffer(most);
          const uses = [0, 1, 2, 3, 4, 5].map((n) =>
            use({
              keyId: `key_${n % 3}`,
              service: `service-${n % 2}`,
              secretNumber: n < 4 ? 1 : 2,
            }),
          );
          let [nowMs, taken] = [NOON_MS, 0];
          const took = (limit: number) => {
            const counts = buffer.take(limit);
            const kinds = counts.map((one) => JSON.stringify({ ...one, count: 0, lastMs: 0 }));
            expect(new Set(kinds).size).toBe(counts.length);
            taken += counts.reduce((sum, { count }) => sum + count, 0);
          };
          for (const { who, afterMs, take } of steps) {
            buffer.count(
              who < 3 ? uses[who]! : { ...uses[who]!, last: undefined },
              (nowMs += afterMs),
            );
            took(take);
          }
          took(1_000);
          expect([buffer.total(), buffer.isEmpty]).toEqual([0, true]);
          expect(taken + buffer.lost).toBe(steps.length);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('gives out no more than is asked for, and nothing twice', () => {
    const buffer = new UsageBuffer();
    for (let n = 0; n < 10; n++) {
      buffer.count(use({ keyId: `key_${n % 4}`, secretNumber: n }), NOON_MS);
    }
    const taken = [buffer.take(3), buffer.take(3), buffer.take(3), buffer.take(3)];
    expect(taken.map((one) => one.length)).toEqual([3, 3, 3, 1]);
    expect(new Set(taken.flat().map((one) => one.secretNumber)).size).toBe(10);
  });

  it('merges minutes when it is full, and loses nothing by that', () => {
    const buffer = new UsageBuffer(10);
    for (let n = 0; n < 1_000; n++) buffer.count(use(), NOON_MS + n * 60_000);
    expect(buffer.total()).toBe(1_000);
    expect(buffer.lost).toBe(0);
    const taken = buffer.take(100);
    expect(taken.length).toBeLessThanOrEqual(10);
    expect(Math.max(...taken.map((one) => one.minute))).toBe(NOON_MS / 60_000 + 999);
  });

  it('loses nothing of several keys and services either, in whatever order they come', () => {
    const buffer = new UsageBuffer(20);
    const uses = Array.from({ length: 12 }, (_, n) =>
      use({ keyId: `key_${n % 3}`, service: `service-${n % 4}` }),
    );
    for (let n = 0; n < 1_200; n++) {
      buffer.count(uses[(n * 7) % 12]!, NOON_MS + Math.floor(n / 12) * 60_000);
    }
    expect([buffer.total(), buffer.lost]).toEqual([1_200, 0]);
    const taken = [...buffer.take(7), ...buffer.take(100)];
    expect(taken.reduce((sum, { count }) => sum + count, 0)).toBe(1_200);
    expect(new Set(taken.map(({ keyId, service }) => keyId + service)).size).toBe(12);
  });

  it('counts what it has no place for as lost, and takes more after it was emptied', () => {
    const buffer = new UsageBuffer(10);
    for (let n = 0; n < 15; n++) buffer.count(use({ keyId: `key_${n}` }), NOON_MS);
    expect([buffer.total(), buffer.lost]).toEqual([10, 5]);
    buffer.take(100);
    buffer.count(use(), NOON_MS);
    expect([buffer.total(), buffer.lost]).toEqual([1, 5]);
  });
});
