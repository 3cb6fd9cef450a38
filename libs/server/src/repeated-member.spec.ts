import * as fc from 'fast-check';
import { leavesNoRoom, repeatedMember } from './repeated-member.js';

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

/** Texts around the border: few names, so that they come again, and room in between. */
const space = fc.constantFrom('', ' ');
const { json: anyJson } = fc.letrec<{ json: string }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom('""', '"a:,}"', '0', '-1.5e3', 'null', 'true', '{}', '[]'),
    fc
      .array(fc.tuple(fc.constantFrom('a', 'b', ''), space, tie('json')), { maxLength: 3 })
      .map((all) => `{${all.map(([name, gap, json]) => `"${name}"${gap}:${json}`).join(',')}}`),
    fc
      .tuple(fc.array(tie('json'), { maxLength: 3 }), space)
      .map(([all, gap]) => `[${all.join(`,${gap}`)}]`),
  ),
}));

it('there is none in a text that leaves no room for it', () => {
  const property = fc.property(anyJson, (json) => {
    const isFound = repeatedMember(json) !== null;
    expect(isFound && leavesNoRoom(json, JSON.parse(json))).toBe(false);
  });
  fc.assert(property, { numRuns: 5_000 });
  const usual = { key: 'x'.repeat(80), scopes: ['a:b', 'c:d'], clientIp: '192.0.2.7', cost: 10 };
  for (const value of [usual, { requests: [usual, usual] }, {}, [], 'é'])
    expect([value, leavesNoRoom(JSON.stringify(value), value)]).toEqual([value, true]);
});
