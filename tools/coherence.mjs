// `npm run coherence [-- --revokes 10000] [--minutes 5] [--calls 900] [--models 20000] [--seed N]`: the coherence tests at length. Prints what they measured.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build, checkNode, ensureInstalled, ROOT } from './setup.mjs';

const { values } = parseArgs({
  options: {
    revokes: { type: 'string', default: '10000' },
    calls: { type: 'string', default: '900' },
    minutes: { type: 'string', default: '5' },
    models: { type: 'string', default: '20000' },
    seed: { type: 'string' },
  },
});
checkNode();
process.chdir(ROOT);
await ensureInstalled();
await build();
const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
const jest = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');
const { status } = spawnSync(
  process.execPath,
  [
    ...flags,
    jest,
    '--runInBand',
    '--testPathPatterns',
    'test/coherence/(model|races|random|kill|redis-sets|postgres-failover)',
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      COHERENCE_REVOKES: values.revokes,
      COHERENCE_MINUTES: values.minutes,
      COHERENCE_KILLED_CALLS: values.calls,
      COHERENCE_MODEL_RUNS: values.models,
      ...(values.seed !== undefined && { COHERENCE_SEED: values.seed }),
    },
  },
);
process.exitCode = status ?? 1;
