import { Stores } from '../stores.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

let management: ManagementApp;
let world: Seed;

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
});
afterAll(() => management.stop());

const post = (path: string, body: object) => management.call('post', path, world.admin).send(body);

/** Makes each statement that changes one of the tables take so long, none of them too long by itself. */
async function whileSlow(tables: string[], seconds: number, work: () => Promise<void>) {
  const { owner } = management.postgres;
  await owner.query(`CREATE FUNCTION keys.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(${seconds}); RETURN NULL; END $$`);
  for (const table of tables)
    await owner.query(`CREATE TRIGGER dawdle AFTER INSERT OR UPDATE ON keys.${table}
      FOR EACH STATEMENT EXECUTE FUNCTION keys.dawdle()`);
  try {
    await work();
  } finally {
    await owner.query('DROP FUNCTION keys.dawdle CASCADE');
  }
}

async function everything(): Promise<number[]> {
  const tables = ['key', 'key_grant', 'secret', 'change_log', 'idempotency'];
  return Promise.all(tables.map((table) => world.count(table)));
}

test('a change that is slow statement by statement is 503 as a whole, and nothing of it is left', async () => {
  await world.issue();
  const before = await everything();
  await whileSlow(['key', 'key_grant', 'secret', 'change_log'], 1, async () => {
    const answer = await post('/v1/keys', keyBody()).set('idempotency-key', 'once');
    expect(problemIn(answer)).toEqual({ status: 503, code: 'SERVICE_UNAVAILABLE' });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  });
  expect(await everything()).toEqual(before);
  expect((await post('/v1/keys', keyBody()).set('idempotency-key', 'once')).status).toBe(201);
});

test('what is of many keys has longer', async () => {
  const { key } = await world.issue({ tags: ['many'] });
  await whileSlow(['key', 'change_log'], 1.6, async () => {
    const one = await post(`/v1/keys/${key.id}/revoke`, { reason: 'policy' });
    expect(one.status).toBe(503);
    const filter = { tag: 'many' };
    const all = await post('/v1/keys/revoke', { filter, reason: 'policy' });
    expect(all.status).toBe(200);
    expect(all.body).toMatchObject({ matched: 1, revoked: 1 });
  });
});

test('a read that is slow statement by statement is 503 as a whole, as one that finds no free connection', async () => {
  const { owner } = management.postgres;
  const { key, secret } = await world.issue();
  const read = () => management.call('get', `/v1/keys/${key.id}/rotation`, world.admin);
  await owner.query(`CREATE FUNCTION keys.dawdle_at(id text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN IF id = '${key.id}' THEN PERFORM pg_sleep(2.2); END IF; RETURN true; END $$`);
  const tables = { key: 'id', secret: 'key_id' };
  for (const [table, id] of Object.entries(tables)) {
    await owner.query(`ALTER TABLE keys.${table} ENABLE ROW LEVEL SECURITY`);
    await owner.query(`CREATE POLICY dawdle ON keys.${table} USING (keys.dawdle_at(${id}))`);
  }
  const late = await read();
  expect(problemIn(late)).toEqual({ status: 503, code: 'SERVICE_UNAVAILABLE' });
  expect(Number(late.headers['retry-after'])).toBeGreaterThan(0);
  for (const table of Object.keys(tables))
    await owner.query(`ALTER TABLE keys.${table} DISABLE ROW LEVEL SECURITY`);
  await owner.query('DROP FUNCTION keys.dawdle_at CASCADE');

  const { db } = management.app.get(Stores);
  const held = Array.from({ length: 10 }, () => db.createQueryRunner());
  await Promise.all(held.map((one) => one.connect()));
  const token = await management.issuer.service('service-a', 'keys:verify');
  const verify = () => management.call('post', '/v1/keys/verify', token).send({ key: secret });
  const answers = await Promise.all([read(), read(), post('/v1/keys', keyBody())]);
  // who verifies has connections apart
  expect((await verify()).body).toMatchObject({ code: 'VALID' });
  for (const one of answers)
    expect(problemIn(one)).toEqual({ status: 503, code: 'SERVICE_UNAVAILABLE' });
  await Promise.all(held.map((one) => one.release()));
  expect((await read()).status).toBe(200);
});

test('a question that changes nothing has the time of a read, though it is a POST', async () => {
  const { key } = await world.issue();
  const runner = management.postgres.owner.createQueryRunner();
  await runner.startTransaction();
  await runner.query('LOCK TABLE keys.key IN ACCESS EXCLUSIVE MODE');
  const answer = await post(`/v1/keys/${key.id}/explain`, { service: 'service-a' });
  await runner.rollbackTransaction();
  await runner.release();
  expect(answer).toMatchObject({
    status: 503,
    body: { detail: 'The answer takes too long at present; try again shortly' },
  });
});

test('a key is revoked at once while many ask for what does not come, again and again', async () => {
  const { key } = await world.issue();
  const runner = management.postgres.owner.createQueryRunner();
  await runner.startTransaction();
  // what only the reads need
  await runner.query('LOCK TABLE keys.import IN ACCESS EXCLUSIVE MODE');
  const statuses: number[] = [];
  const poll = async () => {
    const answer = await management.call('get', '/v1/peppers', world.admin);
    statuses.push(answer.status);
  };
  const polling = Array.from({ length: 30 }, poll);
  await Promise.race(polling);
  const again = Array.from({ length: 30 }, poll);
  const answer = await post(`/v1/keys/${key.id}/revoke`, { reason: 'leaked' });
  expect(answer.status).toBe(200);
  await runner.rollbackTransaction();
  await runner.release();
  await Promise.all([...polling, ...again]);
  expect(new Set(statuses)).toEqual(new Set([503, 200]));
  expect((await management.call('get', '/v1/peppers', world.admin)).status).toBe(200);
});

test('a transaction whose replica is silent in the middle of it is rolled back, and others go on', async () => {
  const { key } = await world.issue();
  const runner = management.app.get(Stores).db.createQueryRunner();
  await runner.startTransaction();
  await runner.query('SELECT FROM keys.key WHERE id = $1 FOR UPDATE', [key.id]);
  const disable = () => management.call('post', `/v1/keys/${key.id}/disable`, world.admin);
  const first = await disable();
  expect(first.status).toBe(503);
  let status = first.status;
  while (status === 503) status = (await disable()).status;
  expect(status).toBe(200);
  await runner.release();
});
