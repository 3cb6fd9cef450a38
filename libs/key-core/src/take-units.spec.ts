import type { RateLimit } from '#contracts';
import * as fc from 'fast-check';
import { takeUnits } from './take-units.js';
import { NOW_MS } from './testing.js';

const perMinute: RateLimit = { name: 'calls', limit: 3, windowSeconds: 60 };

const someLimit: fc.Arbitrary<RateLimit> = fc.record({
  name: fc.constant('calls'),
  limit: fc.integer({ min: 1, max: 40 }),
  windowSeconds: fc.integer({ min: 1, max: 4 }),
});
/** Calls close enough together to run into the limit. */
const someCalls = fc.array(
  fc.record({ waitMs: fc.integer({ min: 0, max: 400 }), cost: fc.integer({ min: 1, max: 5 }) }),
  { minLength: 50, maxLength: 300 },
);

interface Taken {
  atMs: number;
  cost: number;
}

function replay(limit: RateLimit, calls: { waitMs: number; cost: number }[]) {
  let tatMs = 0;
  let atMs = NOW_MS;
  return calls.map(({ waitMs, cost }) => {
    atMs += waitMs;
    const answer = takeUnits(tatMs, limit, cost, atMs);
    tatMs = answer.tatMs;
    return { atMs, cost, answer };
  });
}

function mostInAnyWindow(taken: Taken[], windowMs: number): number {
  const sums = taken.map(({ atMs }) =>
    taken
      .filter((one) => one.atMs >= atMs && one.atMs < atMs + windowMs)
      .reduce((sum, one) => sum + one.cost, 0),
  );
  return Math.max(0, ...sums);
}

describe('takeUnits', () => {
  it('has no more than the limit after something was given back that had flowed back already', () => {
    const spent = takeUnits(0, perMinute, 1, NOW_MS);
    const after = takeUnits(spent.tatMs, perMinute, -1, NOW_MS + 60_000);
    expect(after).toMatchObject({ remaining: 3, resetSeconds: 0, tatMs: NOW_MS + 60_000 });
  });

  it('lets the whole limit pass at once, then one unit whenever one has flowed back', () => {
    const calls = [0, 0, 0, 0, 19_999, 1, 0, 60_000].map((waitMs) => ({ waitMs, cost: 1 }));
    const answers = replay(perMinute, calls).map((one) => one.answer);
    expect(answers.map((one) => one.allowed)).toEqual([
      true,
      true,
      true,
      false,
      false,
      true,
      false,
      true,
    ]);
    expect(answers[0]).toEqual({
      allowed: true,
      tatMs: NOW_MS + 20_000,
      remaining: 2,
      resetSeconds: 20,
      retryAfterSeconds: 0,
    });
    expect(answers[3]).toEqual({
      allowed: false,
      tatMs: NOW_MS + 60_000,
      remaining: 0,
      resetSeconds: 60,
      retryAfterSeconds: 20,
    });
    expect(answers[4]!.retryAfterSeconds).toBe(1);
    expect(answers[7]).toEqual({
      allowed: true,
      tatMs: NOW_MS + 100_000,
      remaining: 2,
      resetSeconds: 20,
      retryAfterSeconds: 0,
    });
  });

  it('lets exactly the limit pass in one moment, however it divides the window', () => {
    const limits = fc.record({
      name: fc.constant('calls'),
      limit: fc.integer({ min: 1, max: 5_000 }),
      windowSeconds: fc.integer({ min: 1, max: 2_592_000 }),
    });
    fc.assert(
      fc.property(limits, fc.integer({ min: 0, max: 999 }), (limit, ms) => {
        let tatMs = 0;
        for (let left = limit.limit - 1; left >= 0; left--) {
          const answer = takeUnits(tatMs, limit, 1, NOW_MS + ms);
          if (!answer.allowed || answer.remaining !== left) {
            throw new Error(`${left} should be left: ${JSON.stringify(answer)}`);
          }
          tatMs = answer.tatMs;
        }
        expect(takeUnits(tatMs, limit, 1, NOW_MS + ms)).toMatchObject({
          allowed: false,
          remaining: 0,
          resetSeconds: limit.windowSeconds,
        });
      }),
    );
  });

  it('never lets more than twice the limit pass in any window', () => {
    fc.assert(
      fc.property(someLimit, someCalls, (limit, calls) => {
        const taken = replay(limit, calls).filter((one) => one.answer.allowed);
        const most = mostInAnyWindow(taken, limit.windowSeconds * 1_000);
        expect(most).toBeLessThanOrEqual(2 * limit.limit);
      }),
    );
  });

  it('lets the limit per window pass in the long run, and no more than a burst above it', () => {
    fc.assert(
      fc.property(someLimit, (limit) => {
        const windows = 20;
        const stepMs = 10;
        const steps = (windows * limit.windowSeconds * 1_000) / stepMs;
        const calls = Array.from({ length: steps }, () => ({ waitMs: stepMs, cost: 1 }));
        const taken = replay(limit, calls).filter((one) => one.answer.allowed).length;
        expect(taken).toBeGreaterThanOrEqual(windows * limit.limit);
        expect(taken).toBeLessThanOrEqual((windows + 1) * limit.limit);
      }),
      { numRuns: 20 },
    );
  });

  it('decides as a count in whole numbers does', () => {
    fc.assert(
      fc.property(someLimit, someCalls, (limit, calls) => {
        const windowMs = limit.windowSeconds * 1_000;
        let level = 0; // units times windowMs: whole numbers only
        let lastMs = NOW_MS;
        for (const { atMs, cost, answer } of replay(limit, calls)) {
          level = Math.max(0, level - (atMs - lastMs) * limit.limit);
          lastMs = atMs;
          const isFree = level + cost * windowMs <= limit.limit * windowMs;
          expect(answer.allowed).toBe(isFree);
          if (isFree) level += cost * windowMs;
          expect(answer.remaining).toBe(Math.floor((limit.limit * windowMs - level) / windowMs));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('takes nothing for a refused call', () => {
    fc.assert(
      fc.property(someLimit, someCalls, (limit, calls) => {
        let beforeMs = 0;
        for (const { atMs, answer } of replay(limit, calls)) {
          const nothingMs = Math.max(beforeMs, atMs);
          expect(answer.allowed || Math.abs(answer.tatMs - nothingMs) < 0.05).toBe(true);
          beforeMs = answer.tatMs;
        }
      }),
    );
  });

  it('lets the same call pass after the wait that it named', () => {
    fc.assert(
      fc.property(someLimit, someCalls, (limit, calls) => {
        for (const { atMs, cost, answer } of replay(limit, calls)) {
          if (answer.allowed || cost > limit.limit) continue;
          const laterMs = atMs + answer.retryAfterSeconds * 1_000;
          expect(takeUnits(answer.tatMs, limit, cost, laterMs).allowed).toBe(true);
        }
      }),
    );
  });

  it('is free again after the reset that it named', () => {
    fc.assert(
      fc.property(someLimit, someCalls, (limit, calls) => {
        const { atMs, answer } = replay(limit, calls).at(-1)!;
        const later = takeUnits(
          answer.tatMs,
          limit,
          limit.limit,
          atMs + answer.resetSeconds * 1_000,
        );
        expect(later.allowed).toBe(true);
      }),
    );
  });

  it('never lets a cost above the limit pass', () => {
    expect(takeUnits(0, perMinute, 4, NOW_MS)).toMatchObject({ allowed: false, remaining: 3 });
  });

  it('only looks with a cost of 0', () => {
    const full = takeUnits(0, perMinute, 3, NOW_MS);
    const looked = takeUnits(full.tatMs, perMinute, 0, NOW_MS);
    expect(looked).toEqual({ ...full, allowed: true, remaining: 0 });
  });

  it('blocks for one window at most after a clock that was set back or a longer window', () => {
    const ahead = NOW_MS + 30 * 86_400_000;
    const refused = takeUnits(ahead, perMinute, 1, NOW_MS);
    expect(refused).toEqual({
      allowed: false,
      tatMs: NOW_MS + 60_000,
      remaining: 0,
      resetSeconds: 60,
      retryAfterSeconds: 20,
    });
  });
});
