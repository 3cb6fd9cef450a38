import { describeKey } from './describe-key.js';

describe('describeKey', () => {
  const secret = 'S'.repeat(49);

  it('gives the public id and a fingerprint that changes with the secret', () => {
    const one = describeKey(`kw_live_3kTMd7QpXvB2nYcF_${secret}`);
    const two = describeKey(`kw_live_3kTMd7QpXvB2nYcF_${secret.slice(1)}T`);
    expect(one).toEqual({
      keyId: 'key_3kTMd7QpXvB2nYcF',
      secretVersion: expect.stringMatching(/^[0-9a-f]{8}$/) as string,
    });
    expect(two.keyId).toBe(one.keyId);
    expect(two.secretVersion).not.toBe(one.secretVersion);
  });

  it.each(['', 'secret', 'kw_live_3kTMd7QpXvB2nYcF', `x kw_live_3kTMd7QpXvB2nYcF_${secret}`])(
    'gives no part of a text that is not a key (%#)',
    (text) => expect(describeKey(text).keyId).toBeNull(),
  );
});
