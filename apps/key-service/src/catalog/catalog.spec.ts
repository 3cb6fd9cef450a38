import { DEFAULT_POLICY, type Consumer, type Key, type Service } from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { problemIn, seed, type Seed } from '../testing/seed.js';

let management: ManagementApp;
let world: Seed;

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
});
afterAll(() => management.stop());

const post = (path: string, body: object) => management.call('post', path, world.admin).send(body);
const get = (path: string) => management.call('get', path, world.admin);
const patch = (path: string, body: object, ifMatch?: string) => {
  const request = management.call('patch', path, world.admin);
  return (ifMatch === undefined ? request : request.set('if-match', ifMatch)).send(body);
};

describe('services', () => {
  test('are added with the default policy, and read as they were answered', async () => {
    const answer = await post('/v1/services', { slug: 'plain', scopes: ['a:b'] });
    const made = answer.body as Service;
    expect(answer.status).toBe(201);
    expect(made).toEqual({
      slug: 'plain',
      name: 'plain',
      scopes: ['a:b'],
      policy: DEFAULT_POLICY,
      createdAt: made.createdAt,
      updatedAt: made.createdAt,
      version: 1,
    });
    const read = await get('/v1/services/plain');
    expect(read.body).toEqual(made);
    expect([answer.headers['etag'], read.headers['etag']]).toEqual(['"1"', '"1"']);
    expect(problemIn(await post('/v1/services', { slug: 'plain', scopes: [] }))).toEqual({
      status: 409,
      code: 'ALREADY_EXISTS',
    });
    expect(problemIn(await get('/v1/services/none'))).toEqual({ status: 404, code: 'NOT_FOUND' });
  });

  test('a policy is merged; a default gives way to a new maximum, but a named one is refused', async () => {
    await post('/v1/services', { slug: 'merged', scopes: [], policy: { keyPrefix: 'mm' } });
    const answer = await patch('/v1/services/merged', { policy: { maxLifetimeSeconds: 60 } });
    expect((answer.body as Service).policy).toEqual({
      ...DEFAULT_POLICY,
      keyPrefix: 'mm',
      maxLifetimeSeconds: 60,
      defaultLifetimeSeconds: 60,
    });
    const policy = { defaultOverlapSeconds: 9, maxOverlapSeconds: 8 };
    expect(problemIn(await patch('/v1/services/merged', { policy }))).toEqual({
      status: 400,
      code: 'INVALID_REQUEST',
      pointers: ['/policy/defaultOverlapSeconds'],
    });
  });

  test('If-Match is honoured where it is sent', async () => {
    await post('/v1/services', { slug: 'tagged', scopes: [] });
    const stale = await patch('/v1/services/tagged', { name: 'x' }, '"2"');
    expect(problemIn(stale)).toEqual({ status: 412, code: 'VERSION_MISMATCH' });
    const fits = await patch('/v1/services/tagged', { name: 'x' }, '"1"');
    expect([fits.status, fits.headers['etag']]).toEqual([200, '"2"']);
    expect((await patch('/v1/services/tagged', { name: 'y' })).status).toBe(200);
  });

  test('a scope that keys hold stays, and the answer says how many do', async () => {
    const scopes = ['kept:read', 'kept:write', 'free:read'];
    await post('/v1/services', { slug: 'held', scopes });
    const issue = (list: string[]) => world.issue({ grants: [{ service: 'held', scopes: list }] });
    await issue(['kept:read']);
    const { key } = await issue(['kept:read', 'kept:write']);
    await issue(['kept:*']);
    const path = '/v1/services/held';
    const refused = await patch(path, { scopes: ['kept:write'] });
    expect(problemIn(refused)).toEqual({ status: 409, code: 'CONFLICT' });
    expect((refused.body as { detail: string }).detail).toContain('2 keys hold kept:read');
    expect((await patch(path, { scopes: ['kept:read', 'kept:write'] })).status).toBe(200);
    await post(`/v1/keys/${key.id}/revoke`, { reason: 'retired' });
    expect((await patch(path, { scopes: ['kept:read'] })).status).toBe(200);
    const last = await patch(path, { scopes: [] });
    expect((last.body as { detail: string }).detail).toContain('2 keys hold kept:*, kept:read');
  });

  test('are listed by slug, page by page', async () => {
    const all: string[] = [];
    let cursor = '';
    do {
      const { body } = await get(`/v1/services?limit=2${cursor}`);
      const { data, nextCursor } = body as { data: Service[]; nextCursor: string | null };
      all.push(...data.map((one) => one.slug));
      cursor = nextCursor === null ? '' : `&cursor=${nextCursor}`;
    } while (cursor !== '');
    expect(all).toEqual(all.toSorted());
    expect(all).toHaveLength(await world.count('service'));
  });
});

describe('consumers', () => {
  test('are added, read and changed', async () => {
    const body = {
      slug: 'team',
      name: 'The team',
      contact: 'team@example.org',
      metadata: { a: 1 },
    };
    const made = (await post('/v1/consumers', body)).body as Consumer;
    expect(made).toEqual({
      ...body,
      enabled: true,
      createdAt: made.createdAt,
      updatedAt: made.createdAt,
      version: 1,
    });
    const changed = await patch('/v1/consumers/team', { contact: null }, '"1"');
    const { updatedAt } = changed.body as Consumer;
    expect(changed.body).toEqual({ ...made, contact: null, updatedAt, version: 2 });
    expect((await get('/v1/consumers/team')).body).toEqual(changed.body);
    expect(problemIn(await patch('/v1/consumers/team', { name: 'x' }, '"1"')).status).toBe(412);
    expect(problemIn(await post('/v1/consumers', { slug: 'team' }))).toEqual({
      status: 409,
      code: 'ALREADY_EXISTS',
    });
    expect(problemIn(await get('/v1/consumers/none')).status).toBe(404);
    expect(problemIn(await patch('/v1/consumers/none', { name: 'x' })).status).toBe(404);
  });

  test('switching one off stops all its keys and on starts them; each has its row of the log', async () => {
    await post('/v1/consumers', { slug: 'many' });
    const keys = [
      await world.issue({ consumer: 'many' }),
      await world.issue({ consumer: 'many' }),
      await world.issue({ consumer: 'many' }),
    ];
    await post(`/v1/keys/${keys[2]!.key.id}/revoke`, { reason: 'retired' });
    const codes = () => Promise.all(keys.map(({ secret }) => world.codeOf(secret)));
    expect(await codes()).toEqual(['VALID', 'VALID', 'REVOKED']);
    const head = await world.count('change_log');
    const { key: untouched } = await world.issue();
    expect((await patch('/v1/consumers/many', { enabled: false })).status).toBe(200);
    expect(await codes()).toEqual(['DISABLED', 'DISABLED', 'REVOKED']);
    const shown = (await get(`/v1/keys/${keys[0]!.key.id}`)).body as Key;
    expect([shown.status, shown.version]).toEqual(['disabled', 2]);
    expect((await patch('/v1/consumers/many', { enabled: false })).status).toBe(200);
    expect((await patch('/v1/consumers/many', { enabled: true })).status).toBe(200);
    expect(await codes()).toEqual(['VALID', 'VALID', 'REVOKED']);
    const rows = await management.postgres.owner.query<object[]>(
      'SELECT action, target_id, key_version, services FROM keys.change_log WHERE seq > $1 ORDER BY seq',
      [head + 1],
    );
    const consumerRow = (action: string) => ({
      action: `consumer.${action}`,
      target_id: 'many',
      key_version: null,
      services: [],
    });
    const keyRows = (action: string, version: number) =>
      keys.slice(0, 2).map(({ key }) => ({
        action: `key.consumer_${action}`,
        target_id: key.id,
        key_version: version,
        services: ['service-a'],
      }));
    expect(rows).toEqual([
      consumerRow('disabled'),
      ...keyRows('disabled', 2),
      consumerRow('updated'),
      consumerRow('enabled'),
      ...keyRows('enabled', 3),
    ]);
    expect((await get(`/v1/keys/${untouched.id}`)).body).toEqual(untouched);
  });

  test('a key that is issued while its consumer is switched off does not slip past', async () => {
    await post('/v1/consumers', { slug: 'racing' });
    const attempts = Array.from({ length: 10 }, () =>
      world.issue({ consumer: 'racing' }).catch(() => null),
    );
    await patch('/v1/consumers/racing', { enabled: false });
    const issued = (await Promise.all(attempts)).filter((one) => one !== null);
    for (const { secret } of issued) expect(await world.codeOf(secret)).toBe('DISABLED');
    const missed = `consumer = 'racing' AND version = 1`;
    expect(await world.count('key', missed)).toBe(0);
  });
});
