import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './support/platform.js';

const HIGHEST = 149;
const rows = readFileSync(join(ROOT, 'docs', 'requirements.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\| \d/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, numbers = '', , shown = '']) => ({ numbers: numbers.split(', ').map(Number), shown }));

test('every requirement has its place in docs/requirements.md, once', () => {
  const numbers = rows.flatMap((row) => row.numbers).toSorted((a, b) => a - b);
  expect(numbers).toEqual(Array.from({ length: HIGHEST }, (_, index) => index + 1));
});

test('every requirement names what shows it, or says that it is open', () => {
  const silent = rows.filter(({ shown }) => !/ › |`docs\/|\*\*Open/.test(shown));
  expect(silent.map((row) => row.numbers)).toEqual([]);
});

test('every test and page that is named is there', () => {
  const names = rows.flatMap(({ shown }) =>
    Array.from(shown.matchAll(/`([^`]+)`/g), ([, n]) => n!),
  );
  const tests = names.filter((name) => name.includes(' › '));
  const pages = names.filter((name) => name.startsWith('docs/'));
  expect(tests.length).toBeGreaterThan(50);
  expect(tests.filter((name) => !isThere(name))).toEqual([]);
  expect(pages.filter((page) => !existsSync(join(ROOT, page)))).toEqual([]);
});

/** Whether a file of tests has a test of this title: what stands in the source as the text of a string. */
function isThere(name: string): boolean {
  const [file = '', title = ''] = name.split(' › ');
  const path = join(ROOT, file);
  if (!existsSync(path)) return false;
  const source = readFileSync(path, 'utf8').replaceAll("\\'", "'");
  return [`'${title}'`, `"${title}"`, `\`${title}\``].some((text) => source.includes(text));
}
