import { OwnLimits } from './own-limits.js';

const DAY_MS = 86_400_000;
const ONE = { keyId: 'key_1', consumer: 'service-b' };

it('the wait is over for every limit that refuses', () => {
  const limits = new OwnLimits();
  const both = [
    { name: 'short', limit: 1, windowSeconds: 60 },
    { name: 'long', limit: 1, windowSeconds: 7_200 },
  ];
  const take = () => limits.take(ONE, both, { units: 1, isDry: false }, 1_800_000_000_000);
  expect(take().retrySeconds).toBe(0);
  expect(take().retrySeconds).toBe(7_200);
});

it('a limit that was shortened, or whose clock was set back, is free again after one window', () => {
  const limits = new OwnLimits();
  let nowMs = 1_800_000_000_000;
  const take = (windowSeconds: number, isDry = false) =>
    limits.take(ONE, [{ name: 'all', limit: 1, windowSeconds }], { units: 1, isDry }, nowMs)
      .isRefused;
  expect(take(30 * 86_400)).toBe(false);
  expect(take(10)).toBe(true);
  nowMs += 9_999;
  expect(take(10)).toBe(true);
  nowMs += 1;
  expect(take(10)).toBe(false);
  nowMs -= DAY_MS;
  expect(take(10, true)).toBe(true);
  nowMs += 10_000;
  expect(take(10)).toBe(false);
});

it('a limit that the consumer shares is spent by all its keys, each its own fraction, and by nobody else', () => {
  const limits = new OwnLimits();
  const take = (limit: number, holder: Partial<typeof ONE>, windowSeconds = 60): boolean => {
    const shared = { name: 'all', limit, windowSeconds, sharedBy: 'consumer' } as const;
    const wish = { units: 1, isDry: false };
    return !limits.take({ ...ONE, ...holder }, [shared], wish, 1_800_000_000_000).isRefused;
  };
  expect([take(2, {}), take(4, { keyId: 'key_2' })]).toEqual([true, true]);
  expect([take(2, {}), take(4, { keyId: 'key_2' })]).toEqual([false, true]);
  expect([take(4, { keyId: 'key_2' }), take(2, { consumer: 'other' })]).toEqual([false, true]);
  expect(take(2, {}, 61)).toBe(true);
});
