import { startCluster, type Cluster } from './support/cluster.js';
import { codeOf, createWorld, sleep, until, type World } from './support/world.js';

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster();
  world = await createWorld(cluster);
}, 120_000);
afterAll(() => cluster.stop(), 60_000);
afterEach(() => cluster.heal());

const ALL_REVOKED = ['REVOKED', 'REVOKED', 'REVOKED'];

describe('a validation that is frozen between its database read and its cache fill', () => {
  test('puts no old state into the cache when it thaws after a revoke', async () => {
    for (const isMarkerLost of [false, true]) {
      const { key, secret } = await world.issue();
      const { postgres } = cluster.replicas[0]!;
      postgres.hold(true);
      const frozen = world.verify(0, secret);
      await until('a right to fill', async () => {
        return (await cluster.redis.admin.exists(`kw:{${key.id}}:fill`)) === 1;
      });
      await sleep(50);
      const revoked = await world.revoke(1, key.id);
      expect(revoked).toMatchObject({ status: 200, body: { propagation: { confirmed: true } } });
      // the lease, not the marker, must stop the fill
      if (isMarkerLost) await cluster.redis.admin.del(`kw:{${key.id}}:rec`);
      postgres.hold(false);
      expect(['VALID', 'REVOKED', 503]).toContain(codeOf(await frozen));
      expect(await world.positives(key.id)).toEqual([]);
      for (let i = 0; i < 3; i += 1) expect(await world.codes(secret)).toEqual(ALL_REVOKED);
    }
  });
});
