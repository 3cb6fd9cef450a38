import * as fc from 'fast-check';
import { decodeRecord, encodeRecord } from './record-codec.js';
import { RecordParts } from './record-parts.js';
import { exampleRecord, someRecord } from './testing.js';

describe('decodeRecord', () => {
  it('reads back every record as it was written', () => {
    fc.assert(
      fc.property(someRecord, (record) => {
        const text = encodeRecord(record);
        const read = decodeRecord(text);
        expect(read).toEqual(record);
        expect(encodeRecord(read)).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  it('reads every record as it was written, whichever others were read before it', () => {
    const parts = new RecordParts();
    fc.assert(
      fc.property(someRecord, (record) => {
        expect(decodeRecord(encodeRecord(record), parts)).toEqual(record);
      }),
      { numRuns: 2_000 },
    );
  });

  it('holds once what two records have in common', () => {
    const parts = new RecordParts();
    const limit = { name: 'default', limit: 5, windowSeconds: 60 };
    const read = (changed: object) => decodeRecord(encodeRecord(exampleRecord(changed)), parts);
    const [one, other] = [read({ rateLimits: [limit] }), read({ keyId: 'key_other' })];
    expect(other.grants).toBe(one.grants);
    expect(other.ipAllowlist).toBe(one.ipAllowlist);
    expect(other.metadata).toBe(one.metadata);
    expect(other.rateLimits).toEqual([]);
    expect(read({ rateLimits: [{ ...limit }] }).rateLimits).toBe(one.rateLimits);
  });

  it('reads what this version of Keyward writes', () => {
    expect(encodeRecord(exampleRecord())).toBe(
      '[4,"key_3kTMd7QpXvB2nYcF",1,"service-b",1,"live","active",null,null,' +
        '[["service-a",["reports:read"]]],[],null,[],{},null,' +
        '[[1,"UNhY4JhezH9gQYqvDMWrWH9CwlcKiECVqejMrND2VFw=",1,1801396799000,null,0]]]',
    );
  });

  it.each(['', 'null', '{}', '[]', '[1]', '1', '"x"', '[1,"key_3kTMd7QpXvB2nYcF"]'])(
    'refuses %j, without repeating it',
    (text) => {
      expect(() => decodeRecord(text)).toThrow(new Error('Not a key record of format 4'));
    },
  );

  it('refuses a record of another format', () => {
    const later = encodeRecord(exampleRecord()).replace('[4,', '[5,');
    expect(() => decodeRecord(later)).toThrow(new Error('Not a key record of format 4'));
  });

  it('refuses a record cut at any length', () => {
    const text = encodeRecord(exampleRecord());
    for (let length = 0; length < text.length; length++) {
      expect(() => decodeRecord(text.slice(0, length))).toThrow(Error);
    }
  });
});
