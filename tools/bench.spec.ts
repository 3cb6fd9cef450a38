import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const bench = fileURLToPath(new URL('bench.js', import.meta.url));
const spread = {
  median: expect.any(Number) as number,
  min: expect.any(Number) as number,
  max: expect.any(Number) as number,
};
let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'keyward-bench-spec-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it('the bench runs, and writes the machine and the ratios that it printed', async () => {
  const out = join(dir, 'results.json');
  const short = '--only verify --rounds 1 --slice 200 --warm-up 200 --keys 100'.split(' ');
  const { stdout } = await promisify(execFile)(process.execPath, [bench, ...short, '--out', out]);
  const results = JSON.parse(readFileSync(out, 'utf8')) as object;
  expect(results).toMatchObject({
    machine: expect.stringMatching(/^\d+ x .+ GiB, \w+ \S+, Node \d+/) as string,
    rounds: 1,
    ratios: {
      'verify / bare script': spread,
      'verify / bare static': spread,
      'p99 at half load, verify / bare script': spread,
    },
  });
  expect(stdout).toContain('verify / bare script');
  expect(stdout).toContain(`Written to ${out}`);
});
