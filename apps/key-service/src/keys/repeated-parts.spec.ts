import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'pg';
import type { ImportedKeys, Key } from '#contracts';
import { foreignText, importerOf, itemOf } from '../migration/testing.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { seed, type Seed } from '../testing/seed.js';

const CHANGES = 150;
const SCOPES = { 'service-a': 'reports:', 'service-x': 'things:' };

let management: ManagementApp;
let world: Seed;
beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
});
afterAll(() => management.stop());

const sql = <T>(text: string, values: unknown[] = []): Promise<T[]> =>
  management.postgres.owner.query<T[]>(text, values);

/** Keys whose rows say anything else than the rows of their grants and secrets. */
const untrue = () =>
  sql(`
    WITH ranked AS (
      SELECT s.*, row_number() OVER (PARTITION BY key_id ORDER BY number DESC) AS place FROM keys.secret s
    )
    SELECT k.id, k.grants, k.hint_prefix, k.hint_last4, k.previous_until, k.previous_ended FROM keys.key k
      JOIN ranked c ON c.key_id = k.id AND c.place = 1
      LEFT JOIN ranked p ON p.key_id = k.id AND p.place = 2
    WHERE k.hint_prefix IS DISTINCT FROM c.prefix OR k.hint_last4 IS DISTINCT FROM c.last4
      OR k.previous_until IS DISTINCT FROM p.valid_until OR k.previous_ended IS DISTINCT FROM p.ended
      OR k.grants IS DISTINCT FROM (
        SELECT json_agg(json_build_object('service', g.service, 'scopes', g.scopes) ORDER BY g.service)::jsonb
        FROM keys.key_grant g WHERE g.key_id = k.id
      )`);

const send = (method: 'post' | 'patch' | 'get', path: string, body?: object) =>
  management.call(method, path, world.admin).send(body);

function anyOf<T>(values: readonly T[]): T {
  return values[randomBytes(4).readUInt32LE() % values.length]!;
}

/** Some scopes of one service or both, in any order. */
function anyGrants() {
  const services = anyOf([['service-a'], ['service-x'], ['service-x', 'service-a']] as const);
  return services.map((service) => ({
    service,
    scopes: anyOf([['read'], ['write'], ['write', 'read']]).map((one) => SCOPES[service] + one),
  }));
}

async function imported(given: object): Promise<ImportedKeys> {
  const text = foreignText(randomBytes(6).toString('hex'));
  const hint = anyOf([{}, { hint: { prefix: 'old', last4: text.slice(-4) } }]);
  return importerOf(
    management,
    world.admin,
  )({
    items: [{ ...itemOf(text), item: text, ...hint, ...given }],
  });
}

/** What is done to a key, whether the key service allows it at the moment or not. */
const DEEDS: Record<string, (key: Key) => PromiseLike<unknown>> = {
  issue: () => world.issue({ grants: anyGrants() }),
  import: () => imported({}),
  supersede: ({ id }) =>
    imported({ id, supersedes: { until: new Date(Date.now() + 60_000).toISOString() } }),
  grant: ({ id, version }) =>
    send('patch', `/v1/keys/${id}`, { grants: anyGrants() }).set('if-match', `"${version}"`),
  shorten: ({ id, version }) =>
    send('patch', `/v1/keys/${id}`, { expiresInSeconds: 60 }).set('if-match', `"${version}"`),
  rotate: ({ id }) => send('post', `/v1/keys/${id}/rotate`, { overlapSeconds: 600 }),
  replace: ({ id }) => send('post', `/v1/keys/${id}/rotate`, { overlapSeconds: 0 }),
  extend: ({ id }) => send('post', `/v1/keys/${id}/rotation/extend`, { overlapSeconds: 900 }),
  finish: ({ id }) => send('post', `/v1/keys/${id}/rotation/finish`, {}),
  disable: ({ id }) => send('post', `/v1/keys/${id}/disable`),
  enable: ({ id }) => send('post', `/v1/keys/${id}/enable`),
  revoke: ({ id }) => send('post', `/v1/keys/${id}/revoke`, { reason: 'retired' }),
};

/** Each of them at least once in an order in which it is allowed. */
const ALLOWED = [
  'import',
  'rotate',
  'extend',
  'finish',
  'replace',
  'supersede',
  'grant',
  'shorten',
];

test("a key's row repeats its grants and secrets truly, whatever is done to it, and answers are of that", async () => {
  await world.issue();
  const read = async (query: string) =>
    ((await send('get', `/v1/keys?${query}`)).body as { data: Key[] }).data;
  for (let done = 0; done < CHANGES; done += 1) {
    const name = ALLOWED[done] ?? anyOf(Object.keys(DEEDS));
    await DEEDS[name]!(anyOf(await read(done < ALLOWED.length ? 'limit=1' : 'limit=20')));
    expect([name, await untrue()]).toEqual([name, []]);
  }
  const actions = await sql<{ action: string }>('SELECT DISTINCT action FROM keys.change_log');
  for (const action of ['imported', 'rotated', 'rotation_extended', 'rotation_finished', 'updated'])
    expect(actions.map((one) => one.action)).toContain(`key.${action}`);
  for (const key of await read('limit=200'))
    expect((await send('get', `/v1/keys/${key.id}`)).body).toEqual(key);
});

test('a key that is issued or imported is written once', async () => {
  await sql(
    'CREATE TRIGGER refused BEFORE UPDATE ON keys.key FOR EACH ROW EXECUTE FUNCTION keys.refuse_change()',
  );
  try {
    for (let n = 0; n < 8; n += 1) {
      await world.issue({ grants: anyGrants() });
      expect(await imported({})).toMatchObject({ created: 1, failed: 0 });
    }
  } finally {
    await sql('DROP TRIGGER refused ON keys.key');
  }
  expect(await untrue()).toEqual([]);
});

test('the row is true for who writes grants and secrets without saying so, as an earlier version does', async () => {
  const id = 'key_OldVersion000000';
  await sql(
    `INSERT INTO keys.key (id, name, consumer, environment, created_by) VALUES ($1, 'n', 'service-b', 'live', 'tester')`,
    [id],
  );
  const addSecret = (number: number) =>
    sql(
      `INSERT INTO keys.secret (key_id, number, digest, pepper_version, prefix, last4) VALUES ($1, $2, sha256('x'), 1, 'kw', $3)`,
      [id, number, `000${number}`],
    );
  await sql(
    `INSERT INTO keys.key_grant (key_id, service, scopes) VALUES ($1, 'service-x', '{a:b}'), ($1, 'service-a', '{c:d}')`,
    [id],
  );
  await addSecret(1);
  expect(await untrue()).toEqual([]);
  await sql('UPDATE keys.secret SET valid_until = now() WHERE key_id = $1', [id]);
  await addSecret(2);
  expect(await untrue()).toEqual([]);
  await sql('UPDATE keys.secret SET ended = true WHERE key_id = $1 AND number = 1', [id]);
  await sql(`DELETE FROM keys.key_grant WHERE key_id = $1 AND service = 'service-x'`, [id]);
  await sql(`UPDATE keys.key_grant SET scopes = '{c:e}' WHERE key_id = $1`, [id]);
  expect(await untrue()).toEqual([]);
  await sql('DELETE FROM keys.secret WHERE key_id = $1 AND number = 2', [id]);
  expect(await untrue()).toEqual([]);
});

test('two who change grants of one key at the same time leave a true row', async () => {
  const { key } = await world.issue({ grants: anyGrants().slice(0, 1) });
  const others = ['service-a', 'service-x'].filter((one) => one !== key.grants[0]!.service);
  const connectionString = management.postgres.ownerUrl;
  const clients = [new Client({ connectionString }), new Client({ connectionString })] as const;
  await Promise.all(clients.map((one) => one.connect()));
  try {
    const [first, second] = clients;
    await first.query('BEGIN');
    await first.query(`UPDATE keys.key_grant SET scopes = '{a:b}' WHERE key_id = $1`, [key.id]);
    const added = second.query(
      `INSERT INTO keys.key_grant (key_id, service, scopes) VALUES ($1, $2, '{c:d}')`,
      [key.id, others[0]],
    );
    while ((await sql('SELECT FROM pg_locks WHERE NOT granted')).length === 0) await pause(5);
    await first.query('COMMIT');
    await added;
    expect(await untrue()).toEqual([]);
  } finally {
    await Promise.all(clients.map((one) => one.end()));
  }
});
