import type { Verdict } from '#contracts';
import { createOwnGuard } from './key-guard.js';

const decision = { source: 'store', asOf: '2027-01-31T12:00:00Z', ttlSeconds: 0, version: 1 };
const request = { headers: { 'x-api-key': 'kw_live_x' } };

it.each([
  [false, 'VALID'],
  [true, 'DISABLED'],
] as const)('a verdict with valid %s and the code %s lets nobody pass', async (valid, code) => {
  const verdict = { valid, code, decision } as Verdict;
  for (const verify of [() => verdict, () => Promise.resolve(verdict)])
    expect(await createOwnGuard(verify).check(request, ['reports:read'])).toMatchObject({
      ...{ allowed: false, verdict: null, status: 503, headers: { 'Retry-After': '1' } },
      problem: { code: 'VERIFICATION_UNAVAILABLE' },
    });
});

it('a verdict of one mind with itself is gone by', async () => {
  const checked = async (valid: boolean, code: string) =>
    createOwnGuard(() => ({ valid, code, decision }) as Verdict).check(request, []);
  expect(await checked(true, 'VALID')).toMatchObject({ allowed: true });
  expect(await checked(false, 'DISABLED')).toMatchObject({ allowed: false, status: 403 });
});
