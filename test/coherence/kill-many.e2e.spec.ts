import { randomInt } from 'node:crypto';
import { Client } from 'pg';
import { disagreements } from './support/agreement.js';
import { startCluster, type Cluster } from './support/cluster.js';
import type { Answer } from './support/http.js';
import { randomOf } from './support/random-run.js';
import { createWorld, sleep, until, type Changed, type World } from './support/world.js';

const SEED = Number(process.env['COHERENCE_SEED'] ?? randomInt(2 ** 31));
const KILLS = Number(process.env['COHERENCE_KILLS'] ?? 2);
const LOT = 24;

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster({ replicas: 2 });
  world = await createWorld(cluster);
});
afterAll(() => cluster.stop());

const random = randomOf(SEED);

interface Kind {
  name: string;
  send: (replica: number, consumer: string) => Promise<Answer<Changed>>;
  /** What is so of a key that it has changed. */
  changed: string;
  code: string;
  /** Rows of the change log beside those of the keys. */
  more: number;
}

const kinds: Kind[] = [
  {
    name: 'a revocation of many keys',
    send: (replica, consumer) =>
      cluster.manage(replica, 'POST /v1/keys/revoke', {
        body: { filter: { consumer }, reason: 'compromised' },
      }),
    changed: `state = 'revoked'`,
    code: 'REVOKED',
    more: 0,
  },
  {
    name: 'the end of a consumer',
    send: (replica, consumer) =>
      cluster.manage(replica, `PATCH /v1/consumers/${consumer}`, {
        body: { enabled: false },
        headers: { 'if-match': '*' },
      }),
    changed: 'consumer_off',
    code: 'DISABLED',
    more: 1,
  },
];

/** A consumer, the texts of its keys, and the last number of the change log then. */
interface Lot {
  consumer: string;
  secrets: string[];
  head: number;
}

let lots = 0;
async function makeLot(): Promise<Lot> {
  const consumer = `lot-${(lots += 1)}`;
  await cluster.manage(1, 'POST /v1/consumers', { body: { slug: consumer } });
  const secrets: string[] = [];
  while (secrets.length < LOT) {
    const some = await Promise.all([0, 1, 0, 1].map((one) => world.issue({ consumer }, one)));
    secrets.push(...some.map(({ secret }) => secret));
  }
  for (const secret of samplesOf({ secrets })) await world.warm(secret);
  return { consumer, secrets, head: await readHead() };
}

const samplesOf = ({ secrets }: Pick<Lot, 'secrets'>) => [secrets[0]!, secrets.at(-1)!];

async function readHead(): Promise<number> {
  const [row] = await cluster.sql<{ seq: number }>('SELECT seq::int FROM keys.change_head');
  return row!.seq;
}

/** How many keys of a lot are as after the change, how many as before, and how many rows the log has got since. */
async function stateOf({ changed }: Kind, { consumer, head }: Lot) {
  const [row] = await cluster.sql<{ done: number; left: number }>(
    `SELECT count(*) FILTER (WHERE ${changed} AND version = 2)::int AS done,
       count(*) FILTER (WHERE NOT (${changed}) AND version = 1)::int AS left FROM keys.key WHERE consumer = $1`,
    [consumer],
  );
  return { ...row!, logged: (await readHead()) - head };
}

const whole = ({ more }: Kind) => ({ done: LOT, left: 0, logged: LOT + more });
const nothing = { done: 0, left: LOT, logged: 0 };

/** Waits until PostgreSQL has done with what a replica had sent that was killed, and starts another in its place. */
async function settle(): Promise<void> {
  const [now] = await cluster.sql<{ at: string }>('SELECT clock_timestamp()::text AS at');
  const under = `SELECT FROM pg_stat_activity
    WHERE xact_start <= $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()`;
  await until('PostgreSQL to have done with it', async () => {
    return (await cluster.sql(under, [now!.at])).length === 0;
  });
  await cluster.replicas[0]!.start();
}

/** Of a killed change everything is so or nothing, everywhere; sent again it is done once. */
async function expectAllOrNothing(kind: Kind, lot: Lot): Promise<'all' | 'nothing'> {
  const state = await stateOf(kind, lot);
  expect([whole(kind), nothing]).toContainEqual(state);
  const isDone = state.done > 0;
  const codes = async () => {
    const found = await Promise.all(samplesOf(lot).map((secret) => world.codes(secret)));
    return found.flat().filter((code) => code !== 503);
  };
  const early = isDone ? [] : await codes();
  expect(early.filter((code) => code !== 'VALID')).toEqual([]);
  const areAll = async () => {
    const found = await codes();
    return found.length === 4 && found.every((code) => code === (isDone ? kind.code : 'VALID'));
  };
  await until('one answer of all', areAll, 15_000);
  const again = await kind.send(1, lot.consumer);
  expect(again.status).toBe(200);
  const { logged, ...keys } = whole(kind);
  // a consumer is written down anew whatever it was
  expect(await stateOf(kind, lot)).toEqual({ ...keys, logged: logged + (isDone ? kind.more : 0) });
  expect(await codes()).toEqual(Array(4).fill(kind.code));
  return isDone ? 'all' : 'nothing';
}

describe.each(kinds)('a replica that is killed in the middle of $name', (kind) => {
  test('has changed nothing where its rows wait for their numbers in the log', async () => {
    const lot = await makeLot();
    const holder = new Client(cluster.postgres.url);
    await holder.connect();
    await holder.query('BEGIN; SELECT FROM keys.change_head FOR UPDATE');
    const sent = kind.send(0, lot.consumer);
    const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%change_head%'`;
    await until('it to wait', async () => (await cluster.sql(waiting)).length > 0);
    await cluster.replicas[0]!.kill();
    expect((await sent).status).toBe(0);
    await holder.query('ROLLBACK');
    await holder.end();
    await settle();
    expect(await expectAllOrNothing(kind, lot)).toBe('nothing');
    expect(await disagreements(cluster)).toEqual([]);
  });

  test(`has changed all keys or none, whenever that is (COHERENCE_SEED=${SEED})`, async () => {
    process.stdout.write(`COHERENCE_SEED=${SEED}\n`);
    const first = await makeLot();
    const { tookMs, status } = await kind.send(0, first.consumer);
    expect([status, await stateOf(kind, first)]).toEqual([200, whole(kind)]);
    const ends: string[] = [];
    for (let kill = 0; kill < KILLS; kill += 1) {
      const lot = await makeLot();
      const sent = kind.send(0, lot.consumer);
      await sleep(random() * tookMs);
      await cluster.replicas[0]!.kill();
      expect([0, 200]).toContain((await sent).status);
      await settle();
      ends.push(await expectAllOrNothing(kind, lot));
    }
    process.stdout.write(`${JSON.stringify({ tookMs, ends })}\n`);
    expect(await disagreements(cluster)).toEqual([]);
  });
});
