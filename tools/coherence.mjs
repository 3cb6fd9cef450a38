// The coherence tests at length, or as `npm test` has them but on other stores. Prints what they measured.
//   npm run coherence [-- --revokes 10000] [--minutes 5] [--calls 900] [--kills 20] [--models 20000] [--seed N]
//   npm run coherence:cluster    all of them on a Redis Cluster of three masters, each with a replica
//   npm run coherence:sentinel   all of them on a primary and a replica that three Sentinels watch over
// Of the last two each can be made longer by the same options.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build, checkNode, ensureInstalled, ROOT } from './setup.mjs';

/** Those that chance decides something in, of which more is seen the longer they take. */
const AT_LENGTH = 'model|races|random|kill|redis-sets|postgres-failover';
/** Those that start a Redis of the kind that is asked for. */
const ON_ANY_REDIS = 'revocation|races|random|outages|kill|rolling-restart|postgres-failover';
const LENGTHS = {
  COHERENCE_REVOKES: ['revokes', '10000'],
  COHERENCE_MINUTES: ['minutes', '5'],
  COHERENCE_KILLED_CALLS: ['calls', '900'],
  COHERENCE_KILLS: ['kills', '20'],
  COHERENCE_MODEL_RUNS: ['models', '20000'],
  COHERENCE_SEED: ['seed'],
};

const { values } = parseArgs({
  options: {
    redis: { type: 'string' },
    ...Object.fromEntries(Object.values(LENGTHS).map(([name]) => [name, { type: 'string' }])),
  },
});
const env = { ...process.env };
for (const [variable, [name, atLength]] of Object.entries(LENGTHS)) {
  const value = values[name] ?? (values.redis === undefined ? atLength : undefined);
  if (value !== undefined) env[variable] = value;
}
if (values.redis !== undefined) env.KEYWARD_TEST_REDIS = values.redis;

checkNode();
process.chdir(ROOT);
await ensureInstalled();
await build();
const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
const jest = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');
const tests = values.redis === undefined ? AT_LENGTH : ON_ANY_REDIS;
const { status } = spawnSync(
  process.execPath,
  [
    ...flags,
    ...[jest, '--runInBand', '--verbose', '--forceExit'],
    ...['--testPathPatterns', `test/coherence/(${tests})`],
  ],
  { stdio: 'inherit', env },
);
process.exitCode = status ?? 1;
