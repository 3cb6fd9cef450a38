import * as fc from 'fast-check';
import { digestKey } from './digest.js';
import { matchSecret } from './match-secret.js';
import { CURRENT_PEPPER, UnknownPepper, parsePeppers } from './peppers.js';
import { exampleRecord, exampleSecret, seededBytes, someRecord } from './testing.js';

const random = seededBytes('match');
const peppers = parsePeppers(
  `1:${random(32).toString('base64')},2:${random(32).toString('base64')}`,
);

function digestsOf(text: string, versions: readonly number[] = [0, 1, 2]) {
  const asked: number[] = [];
  const digestFor = (version: number) => {
    asked.push(version);
    const pepper = versions.includes(version) ? peppers.get(version) : undefined;
    return pepper && digestKey(pepper, text);
  };
  return { asked, digestFor };
}

function secretOf(text: string, pepperVersion: number, number = 1) {
  const digest = digestKey(peppers.get(pepperVersion)!, text).toString('base64');
  return exampleSecret({ number, digest, pepperVersion, validUntilMs: number === 1 ? 5 : null });
}

const previous = secretOf('previous', 1, 1);
const current = secretOf('current', 2, 2);
const record = exampleRecord({ secrets: [previous, current] });

describe('matchSecret', () => {
  it('finds each of the secrets of a key, under the pepper of its own', () => {
    expect(matchSecret(record, digestsOf('current').digestFor)).toBe(current);
    expect(matchSecret(record, digestsOf('previous').digestFor)).toBe(previous);
    expect(matchSecret(record, digestsOf('another').digestFor)).toBeNull();
  });

  it('hashes an unknown id as it does a known one', () => {
    const unknown = digestsOf('current');
    expect(matchSecret(null, unknown.digestFor)).toBeNull();
    expect(unknown.asked).toEqual([CURRENT_PEPPER]);
    const known = digestsOf('another');
    const usual = exampleRecord({ secrets: [secretOf('a', 2, 1), secretOf('b', 2, 2)] });
    expect(matchSecret(usual, known.digestFor)).toBeNull();
    expect(known.asked).toHaveLength(1);
  });

  it('compares all secrets whichever matches', () => {
    const seen = digestsOf('previous');
    matchSecret(record, seen.digestFor);
    expect(seen.asked).toEqual([1, 2]);
  });

  it('never matches where there is nothing to match', () => {
    expect(matchSecret(null, () => Buffer.alloc(32))).toBeNull();
    expect(matchSecret(null, () => undefined)).toBeNull();
    expect(matchSecret(exampleRecord({ secrets: [] }), () => Buffer.alloc(32))).toBeNull();
  });

  it('cannot tell where the pepper of a secret is not at hand, unless another one matches', () => {
    expect(() => matchSecret(record, digestsOf('current', [0, 1]).digestFor)).toThrow(
      new UnknownPepper(2),
    );
    expect(() => matchSecret(record, digestsOf('another', [0, 1]).digestFor)).toThrow(
      new UnknownPepper(2),
    );
    expect(matchSecret(record, digestsOf('previous', [0, 1]).digestFor)).toBe(previous);
  });

  it('looks at secrets only: no state changes what matches', () => {
    fc.assert(
      fc.property(someRecord, fc.constantFrom('current', 'previous', 'another'), (other, text) => {
        const found = matchSecret({ ...other, secrets: record.secrets }, digestsOf(text).digestFor);
        expect(found).toBe(matchSecret(record, digestsOf(text).digestFor));
      }),
    );
  });
});
