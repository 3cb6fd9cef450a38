import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { IssuedKey, RotatedKey } from '#contracts';
import { disagreements } from './support/agreement.js';
import { startCluster, type Cluster } from './support/cluster.js';
import type { Answer } from './support/http.js';
import { randomOf } from './support/random-run.js';
import { createWorld, keyBody, sleep, until, type Changed, type World } from './support/world.js';

const SEED = Number(process.env['COHERENCE_SEED'] ?? randomInt(2 ** 31));
const CALLS = Number(process.env['COHERENCE_KILLED_CALLS'] ?? 135);
const AT_ONCE = 45;

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster({ replicas: 2 });
  world = await createWorld(cluster);
});
afterAll(() => cluster.stop());

/** A change that is sent under an Idempotency-Key, and what must be so when it has been done once. */
interface Attempt {
  send: (replica: number) => Promise<Answer<IssuedKey & RotatedKey & Changed>>;
  check: (body: IssuedKey & RotatedKey & Changed) => Promise<void>;
}

const random = randomOf(SEED);
const secretsOf = (keyId: string) =>
  cluster.sql<{ number: number }>('SELECT number FROM keys.secret WHERE key_id = $1', [keyId]);
/** Asked again where so many ask at once that nobody can decide in time. */
const isEverywhere = (text: string, code: string) =>
  until(`${code} everywhere`, async () => {
    const codes = await world.codes(text);
    for (const one of codes) expect([code, 503]).toContain(one);
    return !codes.includes(503);
  });

/** A new key of the replica that goes on; so many are asked for at once that one may be told to come again. */
async function issue(): Promise<IssuedKey> {
  let issued: IssuedKey | null = null;
  await until('a key', async () => {
    const answer = await cluster.manage<IssuedKey>(1, 'POST /v1/keys', { body: keyBody });
    if (answer.status === 503 || answer.status === 0) return false;
    expect(answer).toMatchObject({ status: 201 });
    issued = answer.body;
    return true;
  });
  return issued!;
}

async function creation(name: string): Promise<Attempt> {
  const more = { body: { ...keyBody, name }, headers: { 'idempotency-key': name } };
  return {
    send: (replica) => cluster.manage(replica, 'POST /v1/keys', more),
    check: async ({ key, secret }) => {
      const keys = await cluster.sql('SELECT id FROM keys.key WHERE name = $1', [name]);
      expect(keys).toEqual([{ id: key.id }]);
      expect(await secretsOf(key.id)).toHaveLength(1);
      await isEverywhere(secret, 'VALID');
    },
  };
}

async function rotation(name: string, overlapSeconds: number): Promise<Attempt> {
  const { key, secret: old } = await issue();
  await world.verify(1, old);
  const more = { body: { overlapSeconds }, headers: { 'idempotency-key': name } };
  return {
    send: (replica) => cluster.manage(replica, `POST /v1/keys/${key.id}/rotate`, more),
    check: async ({ key: rotated, secret }) => {
      expect([rotated.id, rotated.version]).toEqual([key.id, 2]);
      expect(await secretsOf(key.id)).toHaveLength(2);
      await isEverywhere(secret, 'VALID');
      await isEverywhere(old, overlapSeconds === 0 ? 'SUPERSEDED' : 'VALID');
    },
  };
}

async function revocation(name: string): Promise<Attempt> {
  const { key, secret } = await issue();
  await world.verify(1, secret);
  const more = { body: { reason: 'retired' }, headers: { 'idempotency-key': name } };
  return {
    send: (replica) => cluster.manage(replica, `POST /v1/keys/${key.id}/revoke`, more),
    check: async ({ key: revoked }) => {
      expect(revoked).toMatchObject({ id: key.id, status: 'revoked', version: 2 });
      await isEverywhere(secret, 'REVOKED');
    },
  };
}

/** Which of three is one. It is the same however often it is done, without its answer being kept. */
const REVOCATION = 2;

function attemptOf(place: number, name: string): Promise<Attempt> {
  if (place % 3 === 0) return creation(name);
  if (place % 3 === REVOCATION) return revocation(name);
  return rotation(name, place % 2 === 0 ? 0 : 3_600);
}

/** Sends it to one replica after the other until it is done, as a client does whose answer was lost. */
async function insist({ send }: Attempt, first: number) {
  for (let replica = first; ; replica = 1 - replica) {
    const answer = await send(replica);
    if (answer.status !== 503 && answer.status !== 0) return answer;
    await sleep(100);
  }
}

/** Sends all to the replica that is then killed, when some have been answered. */
async function sendAndKill(attempts: readonly Attempt[]) {
  const awaited = Math.floor(random() * (AT_ONCE - 10));
  let answered = 0;
  let kill = (): void => undefined;
  const isTime = new Promise<void>((resolve) => (kill = resolve));
  const sent = attempts.map(async ({ send }) => {
    const answer = await send(0);
    answered += 1;
    if (answered > awaited) kill();
    return answer;
  });
  await isTime;
  await sleep(random() * 10);
  await cluster.replicas[0]!.kill();
  return Promise.all(sent);
}

/** A silence longer than this is none of a replica that is asked without pause: it was not run. */
const SILENCE_MS = 50;
/** What a timer and a statement on its way may be late by. */
const LATE_MS = 50;

interface Writer {
  id: string;
  batch: number;
  /** Up to when all that it counted is written, milliseconds since 1970. */
  to: number;
}

async function readWriters(): Promise<Map<string, Writer>> {
  const rows = await cluster.sql<Writer>(
    `SELECT id, batch::int, extract(epoch FROM counted_to)::float8 * 1000 AS to FROM keys.usage_writer`,
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** Writes to PostgreSQL all the time, as the replicas do, and tells how long that took at most, and what each replica wrote up to. */
function startProbe(): { cuts: Map<string, number[]>; stop: () => Promise<number> } {
  const state = { isOver: false, slowestMs: 0 };
  const cuts = new Map<string, number[]>();
  const probe = async (): Promise<void> => {
    while (!state.isOver) {
      const startedMs = performance.now();
      await cluster.sql(`SELECT pg_logical_emit_message(true, 'probe', '')`);
      state.slowestMs = Math.max(state.slowestMs, performance.now() - startedMs);
      for (const { id, to } of (await readWriters()).values()) {
        const known = cuts.get(id) ?? [];
        if (known.at(-1) !== to) cuts.set(id, [...known, to]);
      }
      await sleep(20);
    }
  };
  const probing = probe();
  return {
    cuts,
    stop: async () => {
      state.isOver = true;
      await probing;
      return state.slowestMs;
    },
  };
}

/** How long of a time somebody was at work who was seen at these times: of a longer silence the first moment counts. */
function workedMs(seenMs: readonly number[], fromMs: number, toMs: number): number {
  const within = seenMs.filter((ms) => ms > fromMs && ms < toMs);
  const steps = [...within, toMs].map((ms, i) => ms - (within[i - 1] ?? fromMs));
  return steps.reduce((sum, ms) => sum + Math.min(ms, SILENCE_MS), 0);
}

/** How often somebody was seen in the last so many milliseconds of being at work. */
function seenInLast(workMs: number, seenMs: readonly number[], toMs: number): number {
  let leftMs = workMs;
  let place = seenMs.length;
  while (place > 0 && leftMs >= 0) {
    place -= 1;
    leftMs -= Math.min(
      SILENCE_MS,
      Math.max(0, Math.min(toMs, seenMs[place + 1] ?? toMs) - seenMs[place]!),
    );
  }
  return seenMs.length - place;
}

test(`a replica that is killed in the middle of changes leaves each of them done once when it is sent again (COHERENCE_SEED=${SEED})`, async () => {
  process.stdout.write(`COHERENCE_SEED=${SEED}\n`);
  const figures = { calls: 0, unanswered: 0, doneUnanswered: 0 };
  const others: unknown[] = [];
  for (let round = 0; figures.calls < CALLS; round += 1) {
    const attempts = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, place) => attemptOf(place, `call-${round}-${place}`)),
    );
    const first = await sendAndKill(attempts);
    await cluster.replicas[0]!.start();
    const again = await Promise.all(attempts.map((one, place) => insist(one, place % 2)));
    for (const [place, { status, body, headers }] of again.entries()) {
      const before = first[place]!;
      const isReplay = headers['idempotency-replayed'] === 'true';
      expect([200, 201]).toContain(status);
      expect([status, 0, 503]).toContain(before.status);
      if (before.status === 0) figures.unanswered += 1;
      if (before.status === 0 && isReplay) figures.doneUnanswered += 1;
      const isKept = before.status === status && place % 3 !== REVOCATION;
      if (isKept && !(isReplay && isDeepStrictEqual(body, before.body)))
        others.push([before.body, body]);
    }
    await Promise.all(again.map(({ body }, place) => attempts[place]!.check(body)));
    figures.calls += AT_ONCE;
  }
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  expect(figures.unanswered).toBeGreaterThan(0);
  expect(others).toEqual([]);
  const halfKept = 'SELECT key FROM keys.idempotency WHERE answer IS NULL';
  expect(await cluster.sql(halfKept)).toEqual([]);
  expect(await disagreements(cluster)).toEqual([]);
}, 600_000);

test('a replica that is killed loses what it counted in its last second, and no more', async () => {
  const [{ key, secret }, other] = [await issue(), await issue()];
  const before = await readWriters();
  const answeredMs: number[] = [];
  const asking = { isOver: false };
  const ask = async (): Promise<void> => {
    while (!asking.isOver) {
      const answer = await world.verify(0, secret);
      if (answer.status === 200) answeredMs.push(Date.now());
    }
  };
  const asked = Promise.all(Array.from({ length: 4 }, ask));
  const written = async () => {
    const [row] = await cluster.sql<{ count: number }>(
      'SELECT coalesce(sum(count), 0)::int AS count FROM keys.usage_by_minute WHERE key_id = $1',
      [key.id],
    );
    return row!.count;
  };
  const probe = startProbe();
  await until('it to write again and again', () =>
    [...probe.cuts.values()].some((cuts) => cuts.filter((ms) => ms > answeredMs[0]!).length > 2),
  );
  await sleep(random() * 1_000);
  const killedMs = Date.now();
  await cluster.replicas[0]!.kill();
  asking.isOver = true;
  const slowestMs = await probe.stop();
  await asked;
  // what the process has sent PostgreSQL does even though nobody waits for it
  await sleep(200);
  await until('PostgreSQL to have done that', async () => {
    const under = await cluster.sql(
      `SELECT FROM pg_stat_activity WHERE query LIKE '%usage%' AND state <> 'idle' AND pid <> pg_backend_pid()`,
    );
    return under.length === 0;
  });
  const count = await written();
  // of those who have written meanwhile the one that does not any more
  const atKill = await readWriters();
  const changedIn = (now: typeof atKill, since: typeof atKill) =>
    [...now.values()].filter(({ id, batch }) => batch > (since.get(id)?.batch ?? 0));
  let later = atKill;
  // all of them: one that has written only what the test before has left looks like the killed one
  const others = cluster.replicas.map((_, n) => n).slice(1);
  await until('the others to write', async () => {
    await Promise.all(others.map((n) => world.verify(n, other.secret)));
    later = await readWriters();
    return changedIn(later, atKill).length >= others.length;
  });
  const alive = changedIn(later, atKill).map(({ id }) => id);
  const ended = changedIn(atKill, before).filter(({ id }) => !alive.includes(id));
  expect(ended).toHaveLength(1);
  const [killed] = ended as [(typeof ended)[number]];
  // the process tells how long ago it cut off, the statement is on its way meanwhile; and Date.now() has no fractions
  const cutMs = killed.to - slowestMs - 1;
  expect(count).toBeGreaterThanOrEqual(answeredMs.filter((ms) => ms < cutMs).length);
  expect(count).toBeLessThanOrEqual(answeredMs.length + 4);
  // a second of being at work, not of a busy machine's time: what a process is not run for, it does not count in either
  const secondMs = 1_000 + slowestMs + LATE_MS;
  const lost = answeredMs.length - count;
  expect(lost).toBeLessThanOrEqual(seenInLast(secondMs, answeredMs, killedMs));
  // the most that it could have lost, had it been killed at the worst moment
  const cuts = probe.cuts.get(killed.id)!.filter((ms) => ms > answeredMs[0]!);
  const between = cuts.slice(1).map((ms, i) => workedMs(answeredMs, cuts[i]!, ms));
  process.stdout.write(
    `${JSON.stringify({ counted: answeredMs.length, lost, between, slowestMs })}\n`,
  );
  expect(Math.max(...between)).toBeLessThanOrEqual(secondMs);
  await cluster.replicas[0]!.start();
  await until('a verdict', async () => (await world.verify(0, secret)).status === 200);
  await until('it is counted', async () => (await written()) > count);
  expect(await written()).toBe(count + 1);
});
