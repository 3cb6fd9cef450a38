import { readOptions } from './options.js';

it('each mode has a file of its own for its results, and the hot path the usual one', () => {
  const outs = [[], ['--growth'], ['--replicas'], ['--guard'], ['--flood'], ['--soak', '10']].map(
    (args) => readOptions(args).out,
  );
  expect(outs).toEqual([
    'bench-results.json',
    ...['growth', 'replicas', 'guard', 'flood', 'soak'].map((mode) => `bench-results-${mode}.json`),
  ]);
});

it('two modes in one run are refused', () => {
  expect(() => readOptions(['--growth', '--guard'])).toThrow('--growth, --guard');
});
