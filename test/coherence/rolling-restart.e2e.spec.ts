import { startCluster, type Cluster } from './support/cluster.js';
import { call } from './support/http.js';
import { codeOf, createWorld, sleep, until, type World } from './support/world.js';

const REPLICAS = [0, 1, 2];
const CLIENTS = 6;

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster({ env: { DRAIN_MS: '2000' } });
  world = await createWorld(cluster);
});
afterAll(() => cluster?.stop());

test('replicas that are restarted one after the other are missed by nobody: no error, and no use uncounted', async () => {
  const { key, secret } = await world.issue();
  const { key: other } = await world.issue();
  const balancer = startBalancer();
  const odd: string[] = [];
  const done = { verifications: 0, changes: 0 };
  const working = { isOver: false };
  const verifying = async (): Promise<void> => {
    while (!working.isOver) {
      const replica = balancer.next();
      const code = codeOf(await world.verify(replica, secret));
      if (code === 'VALID') done.verifications += 1;
      else odd.push(`a verification by ${replica}: ${code}`);
    }
  };
  const changing = async (): Promise<void> => {
    while (!working.isOver) {
      const replica = balancer.next();
      const to = done.changes % 2 === 0 ? 'disable' : 'enable';
      const { status } = await world.switch(replica, other.id, to);
      if (status === 200) done.changes += 1;
      else odd.push(`a change by ${replica}: ${status}`);
    }
  };
  const worked = Promise.all([...Array.from({ length: CLIENTS }, verifying), changing()]);
  await sleep(500);
  const exits = [];
  for (const replica of REPLICAS) {
    exits.push(await cluster.replicas[replica]!.restart());
    await until('the balancer to see it', () => balancer.isReady(replica));
  }
  await sleep(500);
  working.isOver = true;
  await worked;
  await balancer.stop();
  expect(exits).toEqual([0, 0, 0]);
  expect(odd).toEqual([]);
  expect(Math.min(done.verifications, done.changes)).toBeGreaterThan(10);
  await until('every use to be counted', async () => {
    const [row] = await cluster.sql<{ count: number }>(
      'SELECT coalesce(sum(count), 0)::int AS count FROM keys.usage_by_minute WHERE key_id = $1',
      [key.id],
    );
    return row!.count === done.verifications;
  });
});

/** Sends each request to the next replica that says it is ready, as a load balancer does. */
function startBalancer() {
  const ready = new Set(REPLICAS);
  let turn = 0;
  const state = { isStopped: false };
  const look = async (): Promise<void> => {
    while (!state.isStopped) {
      for (const replica of REPLICAS) {
        const url = `${cluster.replicas[replica]!.url}/health/ready`;
        const { status } = await call({ method: 'GET', url });
        if (status === 200) ready.add(replica);
        else ready.delete(replica);
      }
      await sleep(50);
    }
  };
  const looking = look();
  return {
    isReady: (replica: number) => ready.has(replica),
    next: () => {
      const some = [...ready];
      turn += 1;
      return some[turn % some.length]!;
    },
    stop: () => {
      state.isStopped = true;
      return looking;
    },
  };
}
