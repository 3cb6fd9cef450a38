import { randomInt } from 'node:crypto';
import { RECOVERY_MS } from '../support/patience.js';
import { disagreements, untilQuiet } from './support/agreement.js';
import { startCluster, type Cluster } from './support/cluster.js';
import { faultsOf, RandomRunner } from './support/random-run.js';
import { setFaultsOf } from './support/set-faults.js';
import { isSet } from './support/redis-set.js';
import { createWorld, until, type World } from './support/world.js';

const SEED = Number(process.env['COHERENCE_SEED'] ?? randomInt(2 ** 31));
const SECONDS = Number(process.env['COHERENCE_MINUTES'] ?? 0.4) * 60;
const LEAST_CONFIRMED = Math.floor(SECONDS / 4) + 1;

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster({ env: { GRACE_SECONDS: '4', CACHE_TTL_SECONDS: '5' } });
  world = await createWorld(cluster);
});
afterAll(() => cluster.stop());

test(
  `whatever fails, a verification that began after a change was confirmed shows nothing older (COHERENCE_SEED=${SEED})`,
  async () => {
    process.stdout.write(`COHERENCE_SEED=${SEED}\n`);
    const result = await new RandomRunner(cluster, world, {
      seed: SEED,
      faults: { ...faultsOf(cluster), ...(isSet(cluster.redis) && setFaultsOf(cluster.redis)) },
    }).run(SECONDS, LEAST_CONFIRMED);
    process.stdout.write(
      `${JSON.stringify({ ...result, violations: result.violations.length })}\n`,
    );
    expect(result.violations).toEqual([]);
    expect(result.verifications).toBeGreaterThan(SECONDS * 10);
    expect(result.confirmed).toBeGreaterThanOrEqual(LEAST_CONFIRMED);
    cluster.heal();
    const { secret } = await wellAgain();
    await world.warm(secret);
    await untilQuiet(cluster);
    expect(await disagreements(cluster)).toEqual([]);
  },
  3 * SECONDS * 1_000 + 120_000,
);

async function wellAgain(): Promise<{ secret: string }> {
  let issued: { secret: string } | null = null;
  const isWell = async () => {
    issued = await world.issue().catch(() => null);
    return issued !== null;
  };
  await until('the replicas to be well again', isWell, RECOVERY_MS);
  return issued!;
}
