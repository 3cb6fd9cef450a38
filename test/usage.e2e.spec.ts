import { startCluster, type Cluster } from './coherence/support/cluster.js';
import { createWorld, sleep, until, type World } from './coherence/support/world.js';

describe('usage over two replicas', () => {
  let cluster: Cluster;
  let world: World;
  beforeEach(async () => {
    cluster = await startCluster({ replicas: 2 });
    world = await createWorld(cluster);
  });
  afterEach(() => cluster.stop());

  const counted = async (keyId: string) => {
    const [row] = await cluster.sql<{ count: number }>(
      'SELECT coalesce(sum(count), 0)::int AS count FROM keys.usage_by_minute WHERE key_id = $1',
      [keyId],
    );
    return row!.count;
  };
  /** Verifies one after the other. @returns how often there was a verdict; on a busy machine there may be a 503 */
  const verifyTimes = async (replica: number, text: string, times: number): Promise<number> => {
    let verdicts = 0;
    for (let n = 0; n < times; n++) {
      const { status, body } = await world.verify(replica, text);
      if (status !== 200) continue;
      expect(body.code).toBe('VALID');
      verdicts += 1;
    }
    return verdicts;
  };
  const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
  /** Verifies until each replica has answered from the cache, and that is written. @returns how many were counted */
  const warmCounted = async (keyId: string, text: string): Promise<number> => {
    let verdicts = 0;
    for (const replica of [0, 1])
      await until('an answer from the cache', async () => {
        const { status, body } = await world.verify(replica, text);
        if (status === 200) verdicts += 1;
        return status === 200 && body.decision.source === 'cache';
      });
    await until('it is written', async () => (await counted(keyId)) === verdicts);
    return verdicts;
  };

  it('each of many verifications at the same time is counted once', async () => {
    const keys = await Promise.all(Array.from({ length: 3 }, () => world.issue()));
    const before = await Promise.all(keys.map(({ key, secret }) => warmCounted(key.id, secret)));
    const verdicts = await Promise.all(
      Array.from({ length: 50 }, (_, n) => verifyTimes(n % 2, keys[n % 3]!.secret, 20)),
    );
    const expected = keys.map((_, i) => before[i]! + sum(verdicts.filter((_, n) => n % 3 === i)));
    const now = () => Promise.all(keys.map(({ key }) => counted(key.id)));
    await until('all are written', async () => sum(await now()) >= sum(expected));
    await sleep(1_500);
    expect(await now()).toEqual(expected);
  });

  it('a replica that is stopped loses nothing that it counted', async () => {
    const { key, secret } = await world.issue();
    const verdicts = await Promise.all(
      Array.from({ length: 20 }, (_, n) => verifyTimes(n % 2, secret, 10)),
    );
    await Promise.all(cluster.replicas.map((one) => one.stop()));
    expect(await counted(key.id)).toBe(sum(verdicts));
    expect(await cluster.sql('SELECT FROM keys.usage_writer')).toEqual([]);
    const [used] = await cluster.sql<{ used: boolean }>(
      'SELECT last_used_at IS NOT NULL AS used FROM keys.key WHERE id = $1',
      [key.id],
    );
    expect(used).toEqual({ used: true });
  });

  it('counts whose answer is lost on the way are not counted twice', async () => {
    const { key, secret } = await world.issue();
    const { postgres } = cluster.replicas[0]!;
    let expected = await warmCounted(key.id, secret);
    let lost = 0;
    for (let round = 1; round <= 20 && lost < 3; round++) {
      postgres.hold(true);
      expected += await verifyTimes(0, secret, 5);
      // where the answer to the write before was still on its way, that one is lost, and these wait for it
      const has = async () => (await counted(key.id)) === expected;
      if (
        await until('PostgreSQL has them', has, 4_000).then(
          () => true,
          () => false,
        )
      )
        lost += 1;
      postgres.cut();
      postgres.hold(false);
      expected += await verifyTimes(0, secret, 1);
      await until('the next are written', async () => (await counted(key.id)) >= expected);
    }
    expect(lost).toBe(3);
    await cluster.replicas[0]!.stop();
    expect(await counted(key.id)).toBe(expected);
  });

  it('while PostgreSQL is away verifications go on, and are counted when it is back', async () => {
    const { key, secret } = await world.issue();
    const before = await warmCounted(key.id, secret);
    await cluster.postgres.stop();
    const verdicts = await verifyTimes(0, secret, 30);
    expect(verdicts).toBeGreaterThan(0);
    await cluster.postgres.start();
    const written = () => counted(key.id).catch(() => 0);
    await until('they are written', async () => (await written()) === before + verdicts);
  });
});
