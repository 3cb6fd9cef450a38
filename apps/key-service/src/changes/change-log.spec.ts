import { randomUUID } from 'node:crypto';
import { Client, Pool } from 'pg';
import type { IssuedKey, RotatedKey } from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

let management: ManagementApp;
let world: Seed;
let runtime: Pool;

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
  runtime = new Pool({ connectionString: management.postgres.runtimeUrl, max: 2 });
});
afterAll(async () => {
  await runtime.end();
  await management.stop();
});

const sql = <T>(text: string, values: unknown[] = []) =>
  management.postgres.owner.query<T>(text, values);
const post = (path: string, body?: object) => management.call('post', path, world.admin).send(body);
const patch = (path: string, body: object) =>
  management.call('patch', path, world.admin).set('if-match', '*').send(body);

test('each mutation adds its row: who, what, from which state to which, and from where', async () => {
  const [{ seq }] = await sql<[{ seq: string }]>('SELECT seq FROM keys.change_head');
  await post('/v1/services', { slug: 'logged', scopes: ['a:b'] });
  await patch('/v1/services/logged', { scopes: ['a:b', 'a:c'] });
  await post('/v1/consumers', { slug: 'logged' });
  await patch('/v1/consumers/logged', { contact: 'x@example.org' });
  const issued = await post('/v1/keys', {
    ...keyBody(),
    consumer: 'logged',
    grants: [{ service: 'logged', scopes: ['a:b'] }],
  });
  const { key } = issued.body as IssuedKey;
  const path = `/v1/keys/${key.id}`;
  await patch(path, { name: 'renamed', tags: [] });
  const rotated = (await post(`${path}/rotate`, { overlapSeconds: 0, reason: 'yearly' }))
    .body as RotatedKey;
  await post(`${path}/disable`);
  await post(`${path}/disable`);
  await post(`${path}/enable`);
  await patch(path, { grants: [{ service: 'service-a', scopes: ['reports:read'] }] });
  const requestId = randomUUID();
  await post(`${path}/revoke`, { reason: 'leaked', comment: 'seen' }).set(
    'x-request-id',
    requestId,
  );
  await post(`${path}/revoke`, { reason: 'leaked' });
  await post(`${path}/enable`);
  const rows = await sql<Record<string, unknown>[]>(
    'SELECT * FROM keys.change_log WHERE seq > $1 ORDER BY seq',
    [seq],
  );
  const target = { target_type: 'key', target_id: key.id, services: ['logged'] };
  const policy = expect.any(Object) as object;
  const expected = [
    {
      action: 'service.created',
      target_id: 'logged',
      services: ['logged'],
      before: null,
      after: { name: 'logged', scopes: ['a:b'], policy },
    },
    {
      action: 'service.updated',
      target_type: 'service',
      before: { scopes: ['a:b'] },
      after: { scopes: ['a:b', 'a:c'] },
    },
    { action: 'consumer.created', target_id: 'logged', services: [], before: null },
    {
      action: 'consumer.updated',
      target_type: 'consumer',
      before: { contact: null },
      after: { contact: 'x@example.org' },
    },
    { action: 'key.created', ...target, key_version: 1, before: null },
    {
      action: 'key.updated',
      ...target,
      key_version: 2,
      before: { name: key.name },
      after: { name: 'renamed' },
    },
    {
      action: 'key.rotated',
      ...target,
      key_version: 3,
      before: { secret: 1 },
      after: { secret: 2, previousValidUntil: rotated.previous.validUntil, reason: 'yearly' },
    },
    {
      action: 'key.disabled',
      ...target,
      key_version: 4,
      before: { state: 'active' },
      after: { state: 'disabled' },
    },
    {
      action: 'key.enabled',
      ...target,
      key_version: 5,
      before: { state: 'disabled' },
      after: { state: 'active' },
    },
    { action: 'key.updated', key_version: 6, services: ['logged', 'service-a'] },
    {
      action: 'key.revoked',
      key_version: 7,
      services: ['service-a'],
      request_id: requestId,
      before: { state: 'active' },
      after: { state: 'revoked', reason: 'leaked', comment: 'seen' },
    },
  ];
  expect(rows).toMatchObject(expected);
  rows.forEach((row, index) => {
    expect(row).toMatchObject({
      seq: String(Number(seq) + 1 + index),
      actor: 'usr_admin',
      via: null,
    });
    expect([row['ip'], typeof row['request_id']]).toEqual(['127.0.0.1', 'string']);
    expect(row['at']).toBeInstanceOf(Date);
  });
});

test('200 mutations at the same time: no number is missing, and each key’s are in the order of its versions', async () => {
  const keys = await Promise.all(Array.from({ length: 20 }, () => world.issue()));
  const actions = Array.from({ length: 200 }, (_, n) => {
    const path = `/v1/keys/${keys[n % 20]!.key.id}`;
    const kinds = [
      () => patch(path, { name: `name ${n}` }),
      () => post(`${path}/disable`),
      () => post(`${path}/enable`),
      () => post('/v1/keys', keyBody()),
      () => patch('/v1/consumers/service-b', { metadata: { n } }),
    ];
    return kinds[Math.floor(n / 20) % kinds.length]!;
  });
  // as clients do, it is sent again where it waited too long for a connection
  const done = async (action: (typeof actions)[number]): Promise<number> => {
    const { status, headers } = await action();
    if (status !== 503) return status;
    expect(headers['retry-after']).toBeDefined();
    return done(action);
  };
  const statuses = await Promise.all(actions.map(done));
  expect(statuses.filter((status) => status >= 300)).toEqual([]);
  const rows = await sql<{ seq: string; target_id: string; key_version: number | null }[]>(
    'SELECT seq, target_id, key_version FROM keys.change_log ORDER BY seq',
  );
  expect(rows.map((row) => Number(row.seq))).toEqual(rows.map((_, index) => index + 1));
  const [{ seq }] = await sql<[{ seq: string }]>('SELECT seq FROM keys.change_head');
  expect(Number(seq)).toBe(rows.length);
  for (const { key } of keys) {
    const versions = rows.filter((row) => row.target_id === key.id).map((row) => row.key_version);
    expect(versions).toEqual(versions.map((_, index) => index + 1));
    const now = await management.call('get', `/v1/keys/${key.id}`, world.admin);
    expect((now.body as { version: number }).version).toBe(versions.length);
  }
});

test('listeners are told the last number, on commit', async () => {
  const client = new Client({ connectionString: management.postgres.runtimeUrl });
  await client.connect();
  await client.query('LISTEN keyward_changes');
  const told = new Promise<string | undefined>((resolve) => {
    client.once('notification', (message) => resolve(message.payload));
  });
  await world.issue();
  const [{ seq }] = await sql<[{ seq: string }]>('SELECT seq FROM keys.change_head');
  expect(await told).toBe(seq);
  await client.end();
});

describe('where the log cannot be written', () => {
  const broken: [string, string, string][] = [
    [
      'no right to add',
      'REVOKE INSERT ON keys.change_log FROM keyward_key_service',
      'GRANT INSERT ON keys.change_log TO keyward_key_service',
    ],
    [
      'a fault of the database',
      'ALTER TABLE keys.change_log ADD CONSTRAINT never CHECK (false) NOT VALID',
      'ALTER TABLE keys.change_log DROP CONSTRAINT never',
    ],
  ];

  test.each(broken)('%s: every mutation is 503 and changes nothing', async (_, breakIt, mendIt) => {
    const { key, secret } = await world.issue();
    const state = () =>
      Promise.all(
        ['key', 'secret', 'key_grant', 'service', 'consumer', 'change_log'].map((table) =>
          world.count(table),
        ),
      );
    const before = await state();
    const path = `/v1/keys/${key.id}`;
    await sql(breakIt);
    const answers = [
      await post('/v1/keys', keyBody()),
      await patch(path, { name: 'x' }),
      await post(`${path}/rotate`, {}),
      await post(`${path}/disable`),
      await post(`${path}/revoke`, { reason: 'retired' }),
      await post('/v1/consumers', { slug: 'lost' }),
      await patch('/v1/consumers/service-b', { enabled: false }),
      await post('/v1/services', { slug: 'lost', scopes: [] }),
    ];
    await sql(mendIt);
    for (const answer of answers) {
      expect(problemIn(answer)).toEqual({ status: 503, code: 'SERVICE_UNAVAILABLE' });
      expect(answer.headers['retry-after']).toBeDefined();
      expect(answer.text).not.toMatch(/keys\.|change_log|kw_live/);
    }
    expect(await state()).toEqual(before);
    expect((await management.call('get', path, world.admin)).body).toEqual(key);
    expect(await world.codeOf(secret)).toBe('VALID');
    expect((await post('/v1/keys', keyBody())).status).toBe(201);
  });
});

test('what looks like a key or token is masked in the log', async () => {
  // a whole key is refused before it gets here
  const secret = (await world.issue()).secret.slice(0, -1);
  const { key } = await world.issue({ name: `was ${secret}`, metadata: { a: [secret] } });
  await post(`/v1/keys/${key.id}/revoke`, { reason: 'leaked', comment: secret });
  expect(await world.count('change_log t', `t::text LIKE '%${secret}%'`)).toBe(0);
  expect(
    await world.count('change_log t', `t.target_id = '${key.id}' AND t::text LIKE '%[masked]%'`),
  ).toBe(2);
});

describe('the role that the service runs as', () => {
  test.each([
    `UPDATE keys.change_log SET actor = 'x'`,
    'DELETE FROM keys.change_log',
    'TRUNCATE keys.change_log',
    'ALTER TABLE keys.change_log DISABLE TRIGGER ALL',
    'DROP TRIGGER change_log_is_append_only ON keys.change_log',
    'ALTER TABLE keys.key ADD COLUMN x text',
    'CREATE TABLE keys.x (y text)',
    'CREATE TABLE public.x (y text)',
    'CREATE SCHEMA x',
    'DROP TABLE keys.key',
    'DROP SCHEMA keys CASCADE',
    'DELETE FROM keys.key',
    'DELETE FROM keys.service',
    'DELETE FROM keys.change_head',
    'TRUNCATE keys.secret',
    'SET ROLE keyward_owner',
    'SELECT FROM login.user',
    'CREATE ROLE x',
  ])('may not: %s', async (statement) => {
    const before = await world.count('change_log');
    await expect(runtime.query(statement)).rejects.toMatchObject({ code: '42501' });
    expect(await world.count('change_log')).toBe(before);
  });

  test('the owner may not change or remove rows of the log either', async () => {
    for (const statement of [
      `UPDATE keys.change_log SET actor = 'x' WHERE seq = 1`,
      'DELETE FROM keys.change_log WHERE seq = 1',
      'TRUNCATE keys.change_log',
    ]) {
      await expect(sql(statement)).rejects.toMatchObject({ code: '42501' });
    }
  });
});
