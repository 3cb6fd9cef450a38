import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createResults } from './report.js';

let dir: string;
let printed: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'keyward-report-'));
  printed = '';
  import.meta.jest.spyOn(console, 'log').mockImplementation((line: string) => {
    printed += `${line}\n`;
  });
});
afterEach(() => {
  import.meta.jest.restoreAllMocks();
  rmSync(dir, { recursive: true, force: true });
});

it('a goal that the median misses is told as missed, also by what is no number', () => {
  const results = createResults();
  for (const value of [0.5, 0.9, 0.7]) results.ratio('low', value, { atLeast: 0.8 });
  for (const value of [0.9, 0.1, 0.95]) results.ratio('high enough', value, { atLeast: 0.8 });
  results.figure('late', 3_000, { atMost: 2_000 });
  results.ratio('nothing', NaN, { atMost: 2 });
  results.ratio('elsewhere', 3, { elsewhere: 8.8 });
  results.figure('without a goal', NaN);
  expect(results.finish(join(dir, 'out.json'), 3)).toEqual(['late', 'low', 'nothing']);
  expect(printed).toMatch(/^low .*>= 0\.8 {2}MISSED$/m);
  expect(printed).toMatch(/^high enough .*>= 0\.8 {2}reached$/m);
  expect(printed).toMatch(/^elsewhere .* 8\.8 elsewhere$/m);
});

it('the file has the spread of every ratio, and who was busy', () => {
  const results = createResults();
  for (const value of [3, 1, 2]) results.ratio('ratio', value);
  results.busy('target', { server: 0.5, redis: 0.25 });
  results.finish(join(dir, 'out.json'), 3);
  const half = { median: 0.5, min: 0.5, max: 0.5 };
  const quarter = { median: 0.25, min: 0.25, max: 0.25 };
  expect(JSON.parse(readFileSync(join(dir, 'out.json'), 'utf8'))).toMatchObject({
    rounds: 3,
    ratios: { ratio: { median: 2, min: 1, max: 3 } },
    busy: { target: { server: half, redis: quarter } },
  });
});
