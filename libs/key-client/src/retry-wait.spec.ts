import { retryWaitMs } from './retry-wait.js';

const nowMs = Date.parse('2027-01-31T12:00:00Z');
const waitOf = (retryAfter: string | null, over: { retry?: number; random?: number } = {}) =>
  retryWaitMs(new Headers(retryAfter === null ? {} : { 'retry-after': retryAfter }), {
    ...{ retry: 1, nowMs, random: 0 },
    ...over,
  });

describe('retryWaitMs', () => {
  it('waits as long as Retry-After says, in seconds or to a date', () => {
    expect(waitOf('7')).toBe(7_000);
    expect(waitOf('0')).toBe(0);
    expect(waitOf('Sun, 31 Jan 2027 12:00:09 GMT')).toBe(9_000);
    expect(waitOf('Sun, 31 Jan 2027 11:00:00 GMT')).toBe(0);
  });

  it('adds chance to it and never takes any away', () => {
    expect(waitOf('10', { random: 1 })).toBe(12_000);
    expect(waitOf('10', { random: 0.5 })).toBe(11_000);
    expect(waitOf('0', { random: 1 })).toBe(100);
  });

  it.each([null, 'soon', '', 'a while'])('waits longer each time where it says %p', (value) => {
    expect([1, 2, 3].map((retry) => waitOf(value, { retry }))).toEqual([500, 1_000, 2_000]);
  });
});
