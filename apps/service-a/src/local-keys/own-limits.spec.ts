import { OwnLimits } from './own-limits.js';

const DAY_MS = 86_400_000;

it('the wait is over for every limit that refuses', () => {
  const limits = new OwnLimits();
  const both = [
    { name: 'short', limit: 1, windowSeconds: 60 },
    { name: 'long', limit: 1, windowSeconds: 7_200 },
  ];
  const take = () => limits.take('key_1', both, { units: 1, isDry: false }, 1_800_000_000_000);
  expect(take().retrySeconds).toBe(0);
  expect(take().retrySeconds).toBe(7_200);
});

it('a limit that was shortened, or whose clock was set back, is free again after one window', () => {
  const limits = new OwnLimits();
  let nowMs = 1_800_000_000_000;
  const take = (windowSeconds: number, isDry = false) =>
    limits.take('key_1', [{ name: 'all', limit: 1, windowSeconds }], { units: 1, isDry }, nowMs)
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
