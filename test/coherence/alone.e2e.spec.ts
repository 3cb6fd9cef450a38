import { startCluster, type Cluster } from './support/cluster.js';
import { createWorld, until, type Changed, type World } from './support/world.js';

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster({ replicas: 1 });
  world = await createWorld(cluster);
});
afterAll(() => cluster.stop());

test('where Redis takes no writes it goes by its own change at once, though nobody is left to be waited for', async () => {
  const allow = (rights: string) =>
    cluster.redis.each((admin) => admin.call('ACL', 'SETUSER', 'default', rights));
  // before any replica is killed here: that would have to be waited for
  for (let i = 0; i < 5; i += 1) {
    const { key, secret } = await world.issue();
    await world.warm(secret);
    await allow('-@write');
    const { body } = await world.revoke(0, key.id);
    const codes = await world.codes(secret);
    await allow('+@all');
    const told = { confirmed: body.propagation?.confirmed, codes };
    expect(told).toEqual({ confirmed: true, codes: ['REVOKED'] });
  }
});

/** What takes rights from several keys, of which a call of its own touches none where it was done before. */
const changes = [
  {
    name: 'a revocation of several keys',
    dead: 'REVOKED',
    send: (tag: string) =>
      cluster.manage<Changed>(0, 'POST /v1/keys/revoke', {
        body: { filter: { tag }, reason: 'compromised' },
      }),
    isDone: 'SELECT FROM keys.key WHERE id = $1 AND state = $$revoked$$',
  },
  {
    name: 'the end of a consumer',
    dead: 'DISABLED',
    send: () =>
      cluster.manage<Changed>(0, 'PATCH /v1/consumers/service-b', {
        body: { enabled: false },
        headers: { 'if-match': '*' },
      }),
    isDone: 'SELECT FROM keys.key WHERE id = $1 AND consumer_off',
  },
];

/** Kills the only replica when it has committed the change, before Redis has taken anything of it. */
async function dieAfterCommit({
  send,
  isDone,
}: (typeof changes)[number]): Promise<{ tag: string; secret: string }> {
  const tag = `lot-${Math.random().toString(36).slice(2)}`;
  const { key, secret } = await world.issue({ tags: [tag] });
  await world.warm(secret);
  await cluster.redis.each((admin) => admin.call('CLIENT', 'PAUSE', '20000', 'WRITE'));
  const sent = send(tag);
  await until('the commit', async () => (await cluster.sql(isDone, [key.id])).length === 1);
  await cluster.replicas[0]!.kill();
  expect((await sent).status).toBe(0);
  // what it has sent, Redis would still do
  await cluster.redis.each((admin) => admin.call('CLIENT', 'KILL', 'TYPE', 'normal'));
  await cluster.redis.each((admin) => admin.call('CLIENT', 'UNPAUSE'));
  expect(await world.positives(key.id)).toHaveLength(1);
  await cluster.replicas[0]!.start();
  return { tag, secret };
}

describe.each(changes)('the only replica is killed after it has committed $name', (change) => {
  afterEach(() =>
    cluster.manage(0, 'PATCH /v1/consumers/service-b', {
      body: { enabled: true },
      headers: { 'if-match': '*' },
    }),
  );

  test('and the next one makes up for what it left, though nobody sends it again', async () => {
    const { secret } = await dieAfterCommit(change);
    // well before the entry that it left would end by itself
    const codes = () => world.codes(secret);
    // well before the entry that it left would end by itself
    await until('it to be known', async () => (await codes())[0] !== 'VALID', 15_000);
    expect(await codes()).toEqual([change.dead]);
  });

  test('and it is sent again: what is told to be everywhere then, is', async () => {
    const { secret, tag } = await dieAfterCommit(change);
    const again = await change.send(tag);
    expect(again.status).toBe(200);
    expect(await world.codes(secret)).toEqual([change.dead]);
  });
});
