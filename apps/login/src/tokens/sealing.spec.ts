import { randomBytes } from 'node:crypto';
import { seal, unseal } from './sealing.js';

const REFUSED = 'unable to authenticate data';

test('what is sealed opens with its key at its place only, and not when a bit was changed', () => {
  const key = randomBytes(32);
  const sealed = seal(key, 'row/1', Buffer.from('private'));
  expect(unseal(key, 'row/1', sealed).toString()).toBe('private');
  expect(() => unseal(key, 'row/2', sealed)).toThrow(REFUSED);
  expect(() => unseal(randomBytes(32), 'row/1', sealed)).toThrow(REFUSED);
  for (const at of sealed.keys()) {
    const changed = Buffer.from(sealed);
    changed[at]! ^= 1;
    expect(() => unseal(key, 'row/1', changed)).toThrow(REFUSED);
  }
  expect(() => unseal(key, 'row/1', sealed.subarray(0, 20))).toThrow(/authentication tag/);
});
