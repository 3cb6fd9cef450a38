import { CURRENT_PEPPER, parsePeppers } from './peppers.js';
import { seededBytes } from './testing.js';

const random = seededBytes('peppers');
const [one, two, ten] = [random(32), random(32), random(48)];
const text = `1:${one.toString('base64')},10:${ten.toString('base64url')}, 2:${two.toString('base64')}`;

describe('parsePeppers', () => {
  it('reads every version and writes with the highest', () => {
    const peppers = parsePeppers(text);
    expect(peppers.current).toEqual({ version: 10, bytes: ten });
    expect([1, 2, 10].map((version) => peppers.get(version))).toEqual([one, two, ten]);
    expect(peppers.get(3)).toBeUndefined();
  });

  it('writes with the version that is named, so that a new one can be given out before it is used', () => {
    const peppers = parsePeppers(text, 2);
    expect(peppers.current).toEqual({ version: 2, bytes: two });
    expect(peppers.get(CURRENT_PEPPER)).toEqual(two);
  });

  it.each([
    ['', 'Pepper 1 of the list must be <version>:<base64>, version 1 or more'],
    [text + ',', 'Pepper 4 of the list must be <version>:<base64>, version 1 or more'],
    [one.toString('base64'), 'Pepper 1 of the list must be <version>:<base64>, version 1 or more'],
    [
      `0:${one.toString('base64')}`,
      'Pepper 1 of the list must be <version>:<base64>, version 1 or more',
    ],
    [
      `01:${one.toString('base64')}`,
      'Pepper 1 of the list must be <version>:<base64>, version 1 or more',
    ],
    ['1:not base64!', 'Pepper 1 of the list must be <version>:<base64>, version 1 or more'],
    [`3:${random(31).toString('base64')}`, 'Pepper version 3 is shorter than 32 bytes'],
    [
      `3:${Buffer.alloc(32, 1).toString('base64')}`,
      'Pepper version 3 is not random (openssl rand -base64 32)',
    ],
    [`${text},2:${random(32).toString('base64')}`, 'Pepper version 2 is given twice'],
    [`${text},3:${two.toString('base64')}`, 'Peppers 2 and 3 are the same'],
  ])('says what is wrong, and no value (%#)', (bad, message) => {
    expect(() => parsePeppers(bad)).toThrow(new Error(message));
  });

  it('refuses to write with a version that is not there', () => {
    expect(() => parsePeppers(text, 3)).toThrow(
      new Error('There is no pepper of the current version 3'),
    );
    expect(() => parsePeppers(text, CURRENT_PEPPER)).toThrow(
      new Error('There is no pepper of the current version 0'),
    );
  });
});
