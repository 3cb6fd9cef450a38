import * as fc from 'fast-check';
import { jsonFault } from './json-fault.js';

it.each([
  ['{"a":1,}', 'line 1, column 8'],
  ["{'a':1}", 'line 1, column 2'],
  ['{"a":1 "b":2}', 'line 1, column 8'],
  ['{\n  "a": [1, 2\n}', 'line 3, column 1'],
  ['{"a": tru}', 'line 1, column 7'],
  ['{"a":01}', 'line 1, column 6'],
  ['{"a":"one\ntwo"}', 'line 1, column 10'],
  ['{"a":"\\x"}', 'line 1, column 7'],
  ['{"a":1}}', 'line 1, column 8'],
  ['{"a" 1}', 'line 1, column 6'],
  ['{"a":{"b":"c"', 'line 1, column 14, where it ends too early'],
  ['{"a":"b', 'line 1, column 8, where it ends too early'],
  [' ', 'line 1, column 2, where it ends too early'],
  ['{"a":[1.5e-3,true,null,"\\u0041\\n"],"b":{}} ', null],
])('%j ceases to be JSON at %j', (text, place) => {
  expect(jsonFault(text)).toBe(place);
});

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

it('a place is told of exactly what JSON.parse does not take', () => {
  const cut = fc.tuple(
    fc.json(),
    fc.nat(),
    fc.nat(2),
    fc.constantFrom('', '"', ',', '}', '\\', '0'),
  );
  const property = fc.property(cut, ([json, at, length, put]) => {
    const place = at % (json.length + 1);
    const text = json.slice(0, place) + put + json.slice(place + length);
    expect([text, jsonFault(text) === null]).toEqual([text, isJson(text)]);
  });
  fc.assert(property, { numRuns: 5_000 });
});

it('a text of megabytes, and one that is nested deeply, is no trouble', () => {
  expect(jsonFault(`{"a":"${'x'.repeat(8e6)}`)).toMatch(/ends too early$/);
  expect(jsonFault('['.repeat(1e6))).toMatch(/ends too early$/);
  expect(jsonFault(`[${'1'.repeat(8e6)}x`)).toBe('line 1, column 2');
});
