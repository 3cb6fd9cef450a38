import { invalidField } from '#server';
import { checkNewPassword, faultOfContext, faultOfLength } from './password-policy.js';

test.each(['Password1234567', 'p4ssw0rdP@ssw0rd', 'qwertyuiopasdfghjkl', '123456789012345'])(
  '%s is too easy to guess',
  (password) => {
    expect(faultOfLength(password)).toMatch('first to be tried');
  },
);

test.each(['aaaaaaaaaaaaaaa', 'a password for my cat', '314159265358979323', '😀'.repeat(15)])(
  '%s is taken: there are no rules of composition',
  (password) => {
    expect(faultOfLength(password)).toBeNull();
  },
);

test('characters count, not code units, after they are composed', () => {
  expect(faultOfLength('😀'.repeat(14))).toBe('Use at least 15 characters');
  expect(faultOfLength('e\u0301'.repeat(14))).toBe('Use at least 15 characters');
  expect(faultOfLength('e\u0301'.repeat(15))).toBeNull();
});

test('the user name and the name of the platform are left out', () => {
  expect(faultOfContext('a lovely day, Ada.Lovelace', 'ada.lovelace@example.org')).toMatch('user');
  expect(faultOfContext('KEYWARD is the place', 'ada')).toMatch('platform');
  expect(faultOfContext('a lovely day for all', 'al')).toBeNull();
});

test('a refusal points at the password and does not repeat it', () => {
  const refusal = invalidField('/password', 'Use at least 15 characters');
  expect(() => checkNewPassword('short', 'ada')).toThrow(refusal);
});
