import type { IssuedKey, RotatedKey } from '#contracts';
import { disagreements, usesByCode } from './support/agreement.js';
import { startCluster, type Cluster } from './support/cluster.js';
import { wrongCodes } from './support/expected-codes.js';
import type { Answer } from './support/http.js';
import { readRows } from './support/key-rows.js';
import { revokeUnderLoad } from './support/revoke-under-load.js';
import { codeOf, createWorld, keyBody, sleep, until, type World } from './support/world.js';

/** Far more than 10,000 revocations have ever taken; what hangs ends all the same. */
const REVOKES_WITHIN_MS = 3_600_000;

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster();
  world = await createWorld(cluster);
});
afterAll(() => cluster.stop());

test(
  'of keys that are revoked under 64 validators not one is valid afterwards',
  async () => {
    const revokes = Number(process.env['COHERENCE_REVOKES'] ?? 120);
    const result = await revokeUnderLoad(world, {
      ...{ revokes, validators: 64, revokers: 16 },
      onProgress: (line) => process.stdout.write(`${line}\n`),
    });
    process.stdout.write(`${JSON.stringify(result)}\n`);
    expect(result).toMatchObject({ stale: 0, wrong: 0 });
    expect(result.confirmed).toBeGreaterThanOrEqual(revokes);
    // so busy a machine that it says little of coherence would show here
    expect(result.confirmed).toBeGreaterThan(result.revokes * 0.9);
    expect(result.asked).toBeGreaterThan(revokes);
    expect(result.limited).toBeGreaterThan(0);
    expect(result.unavailable).toBeLessThan(result.verifications / 20);
  },
  REVOKES_WITHIN_MS,
);

test('after 200 creations, rotations, revocations, changes and verifications at once, log, rows, cache and counts of usage agree', async () => {
  const keys: IssuedKey[] = [];
  for (let i = 0; i < 20; i += 1) keys.push(await world.issue({}, i % 3));
  const secrets = keys.map(({ secret }) => secret);
  const madeBefore = await countKeys();
  const create = async (n: number, replica: number): Promise<string> => {
    const body = { ...keyBody, name: `made ${n}` };
    const headers = { 'idempotency-key': `create-${n}` };
    const answer = await insist(() =>
      cluster.manage<IssuedKey>(replica, 'POST /v1/keys', { body, headers }),
    );
    if (answer.status === 201) secrets.push(answer.body.secret);
    return `create ${answer.status}`;
  };
  const rotate = async (n: number, replica: number, id: string): Promise<string> => {
    const body = { overlapSeconds: n % 3 === 0 ? 0 : 60 };
    const headers = { 'idempotency-key': `rotate-${n}` };
    const order = `POST /v1/keys/${id}/rotate`;
    const answer = await insist(() =>
      cluster.manage<RotatedKey>(replica, order, { body, headers }),
    );
    if (answer.status === 200) secrets.push(answer.body.secret);
    return `rotate ${answer.status}`;
  };
  const work = Array.from({ length: 200 }, (_, n) => async (): Promise<string> => {
    const replica = n % 3;
    const at = (n * 7) % keys.length;
    const { id } = keys[at]!.key;
    switch (n % 10) {
      case 0:
        return create(n, replica);
      case 1:
      case 2:
        return rotate(n, replica, id);
      case 3:
        return `disable ${(await insist(() => world.switch(replica, id, 'disable'))).status}`;
      case 4:
        return `enable ${(await insist(() => world.switch(replica, id, 'enable'))).status}`;
      case 5:
        return `patch ${(await insist(() => world.patch(replica, id, { name: `named ${n}` }))).status}`;
      case 6:
        if (n % 20 >= 10) return create(n, replica);
        return `revoke ${(await insist(() => world.revoke(replica, id))).status}`;
      default:
        return `verify ${codeOf(await insist(() => world.verify(replica, secrets[at]!)))}`;
    }
  });
  const done = await Promise.all(work.map((one) => one()));
  const fine = [
    /^create 201$|^(rotate|disable|enable|patch) (200|409)$|^revoke 200$/,
    /^verify (VALID|REVOKED|DISABLED|SUPERSEDED)$/,
  ];
  expect(done.filter((one) => !fine.some((pattern) => pattern.test(one)))).toEqual([]);
  // whatever was sent again is done once
  expect(done.filter((one) => one === 'create 201')).toHaveLength(30);
  expect(await countKeys()).toBe(madeBefore + 30);
  expect(await disagreements(cluster)).toEqual([]);
  // and every answered verification is counted, once, as what it was
  await allCounted();
  const ids = keys.map(({ key }) => key.id);
  const answered = done.flatMap((one) => /^verify (.*)$/.exec(one)?.[1] ?? []);
  expect(await usesByCode(cluster, ids)).toEqual(tallied(answered));
  // the same once more with every key in the cache as it is now
  expect(await wrongCodes(cluster, world, secrets)).toEqual([]);
  expect(await disagreements(cluster)).toEqual([]);
});

test('of rotations of one key at once, through all replicas, one is done and the others are told of it', async () => {
  const { key, secret } = await world.issue();
  await world.warm(secret);
  const rotate = (n: number) => insist(() => world.rotate(n % 3, key.id, 60));
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => rotate(n)));
  const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b);
  expect(statuses).toEqual([200, ...Array.from({ length: 11 }, () => 409)]);
  const { body } = answers.find(({ status }) => status === 200)!;
  expect(await world.codes(body.secret)).toEqual(['VALID', 'VALID', 'VALID']);
  const [row] = await readRows(cluster).then((rows) => rows.filter(({ id }) => id === key.id));
  expect(row).toMatchObject({ version: 2, secrets: [{ number: 1 }, { number: 2 }] });
  expect(await disagreements(cluster)).toEqual([]);
});

/** All replicas have written what they have counted up to now: each writes in turn, and this comes last. */
async function allCounted(): Promise<void> {
  const { key, secret } = await world.issue();
  expect(await world.codes(secret)).toEqual(['VALID', 'VALID', 'VALID']);
  const isWritten = async () => (await usesByCode(cluster, [key.id]))['VALID'] === 3;
  await until('the last to be counted', isWritten);
}

function tallied(codes: readonly string[]): Record<string, number> {
  const tally: Record<string, number> = {};
  for (const code of codes) tally[code] = (tally[code] ?? 0) + 1;
  return tally;
}

async function countKeys(): Promise<number> {
  const [row] = await cluster.sql<{ count: number }>('SELECT count(*)::int AS count FROM keys.key');
  return row!.count;
}

/** Sends again what was answered 503, as clients do: so many at once that one waited too long for a connection. */
async function insist<T>(send: () => Promise<Answer<T>>): Promise<Answer<T>> {
  const endMs = performance.now() + 60_000;
  for (;;) {
    const answer = await send();
    if (answer.status !== 503 || performance.now() > endMs) return answer;
    expect(answer.headers['retry-after']).toBeDefined();
    await sleep(Math.random() * 1_000);
  }
}
