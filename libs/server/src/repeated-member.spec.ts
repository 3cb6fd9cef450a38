import * as fc from 'fast-check';
import { repeatedMember } from './repeated-member.js';

it.each([
  ['{"a":1,"a":2}', ['a']],
  ['{"a":{"b":[1,{"c":1,"d":"}","c":2}]}}', ['a', 'b', '1', 'c']],
  ['{"a":"\\"","b":{},"\\u0061":1}', ['a']],
  ['{"a":{"a":1},"b":["a","a"],"c":{"a":"a"}}', null],
  ['"a"', null],
])('in %s the member that is named twice is %j', (json, path) => {
  expect(repeatedMember(json)).toEqual(path);
});

it('there is none in what JSON.stringify writes, and one where a member is written once more', () => {
  const property = fc.property(fc.dictionary(fc.string(), fc.json()), (value) => {
    const json = JSON.stringify(value);
    expect(repeatedMember(json)).toBeNull();
    const [name] = Object.keys(value);
    fc.pre(name !== undefined);
    const twice = `${json.slice(0, -1)},${JSON.stringify(name)}:0}`;
    expect(repeatedMember(twice)).toEqual([name]);
  });
  fc.assert(property);
});
