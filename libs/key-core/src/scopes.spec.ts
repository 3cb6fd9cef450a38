import * as fc from 'fast-check';
import { covers, satisfies } from './scopes.js';
import { someScope } from './testing.js';

const someScopes = fc.uniqueArray(someScope, { maxLength: 5 });

describe('covers', () => {
  it.each([
    ['reports:read', 'reports:read', true],
    ['reports:*', 'reports:read', true],
    ['reports:*', 'reports:read:own', true],
    ['reports:*', 'reports:read:*', true],
    ['reports:*', 'reports:*', true],
    ['reports:read:*', 'reports:read:own', true],
    ['reports:*', 'reports', false],
    ['reports:*', 'reports:', false],
    ['reports:*', 'reports-old:read', false],
    ['reports:*', 'users:read', false],
    ['reports:read', 'reports:write', false],
    ['reports:read', 'reports:read:own', false],
    ['reports:read', 'reports:*', false],
    ['reports:read:*', 'reports:*', false],
    ['reports', 'reports:read', false],
    ['*', 'reports:read', false],
    ['reports*', 'reports:read', false],
  ])('%s for %s: %s', (granted, wanted, expected) => {
    expect(covers(granted, wanted)).toBe(expected);
  });

  it('is passed on: what covers a wildcard covers all that the wildcard covers', () => {
    const words = ['reports', 'reports:read', 'reports:read:own', 'users', 'users:read'];
    const all = words.flatMap((one) => [one, `${one}:*`]);
    for (const a of all) {
      for (const b of all.filter((one) => covers(a, one))) {
        for (const c of all.filter((one) => covers(b, one))) expect(covers(a, c)).toBe(true);
      }
    }
  });
});

describe('satisfies', () => {
  it('wants all of a list and one of anyOf', () => {
    const granted = ['reports:read', 'users:*'];
    expect(satisfies(granted, ['reports:read', 'users:write'])).toBe(true);
    expect(satisfies(granted, ['reports:read', 'reports:write'])).toBe(false);
    expect(satisfies(granted, { anyOf: ['reports:write', 'users:write'] })).toBe(true);
    expect(satisfies(granted, { anyOf: ['reports:write'] })).toBe(false);
  });

  it('is satisfied where nothing is required, and never by an empty choice', () => {
    expect(satisfies([])).toBe(true);
    expect(satisfies([], [])).toBe(true);
    expect(satisfies(['reports:*'], { anyOf: [] })).toBe(false);
  });

  it('stays satisfied with more granted, less required or more to choose from', () => {
    fc.assert(
      fc.property(someScopes, someScopes, someScopes, someScope, (granted, all, anyOf, more) => {
        const wants = [all, { anyOf }].filter((required) => satisfies(granted, required));
        for (const required of wants) {
          const less = Array.isArray(required) ? required.slice(1) : { anyOf: [...anyOf, more] };
          expect(satisfies([...granted, more], required)).toBe(true);
          expect(satisfies(granted, less)).toBe(true);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
