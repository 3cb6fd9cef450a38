import type { Key } from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

let management: ManagementApp;
let world: Seed;
let keys: Key[];

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
  await management.call('post', '/v1/consumers', world.admin).send({ slug: 'other' });
  const both = [...keyBody().grants, { service: 'service-x', scopes: ['things:read'] }];
  const issued = [
    await world.issue({ name: 'plain' }),
    await world.issue({ name: 'test', environment: 'test' }),
    await world.issue({ name: 'tagged', tags: ['a', 'b'] }),
    await world.issue({ name: 'other', consumer: 'other' }),
    await world.issue({ name: 'both', grants: both }),
  ];
  keys = issued.map((one) => one.key);
});
afterAll(() => management.stop());

interface Page {
  data: Key[];
  nextCursor: string | null;
}
const list = (query: string, token = world.admin) =>
  management.call('get', `/v1/keys${query}`, token);
const page = async (query: string, token?: string) => (await list(query, token)).body as Page;
const namesOf = ({ data }: Page) => data.map((one) => one.name);

test('the newest first, each as it is read alone', async () => {
  expect(await page('')).toEqual({ data: keys.toReversed(), nextCursor: null });
});

test('a search tells as much of a key as a list', async () => {
  const text = await page('?q=tagg');
  expect(text).toEqual({ data: [keys[2]], nextCursor: null });
  expect(await page(`?q=${keys[2]!.id}`)).toEqual(text);
});

test('filters narrow, together too', async () => {
  expect(namesOf(await page('?environment=test'))).toEqual(['test']);
  expect(namesOf(await page('?tag=b'))).toEqual(['tagged']);
  expect(namesOf(await page('?consumer=other'))).toEqual(['other']);
  expect(namesOf(await page('?service=service-x'))).toEqual(['both']);
  expect(namesOf(await page('?service=service-a&consumer=other&status=active'))).toEqual(['other']);
  expect(namesOf(await page('?tag=b&environment=test'))).toEqual([]);
  expect(namesOf(await page('?status=revoked'))).toEqual([]);
  expect(namesOf(await page('?service=nowhere'))).toEqual([]);
});

test('pages go on where the last one ended, though keys are added meanwhile', async () => {
  const first = await page('?limit=2&service=service-a');
  const late = await world.issue({ name: 'late' });
  const second = await page(`?limit=2&service=service-a&cursor=${first.nextCursor}`);
  const third = await page(`?limit=2&service=service-a&cursor=${second.nextCursor}`);
  expect([first, second, third].map(namesOf)).toEqual([
    ['both', 'other'],
    ['tagged', 'test'],
    ['plain'],
  ]);
  expect(third.nextCursor).toBeNull();
  await management
    .call('post', `/v1/keys/${late.key.id}/revoke`, world.admin)
    .send({ reason: 'retired' });
  expect(namesOf(await page('?status=revoked'))).toEqual(['late']);
});

test('pages of a tag and of a service together go on where the last one ended', async () => {
  const both = [...keyBody().grants, { service: 'service-x', scopes: ['things:read'] }];
  const settings = [{ grants: both, tags: ['paged'] }, { tags: ['paged'] }, { grants: both }];
  for (const [index, more] of [...settings, settings[0]!].entries())
    await world.issue({ name: `paged ${index}`, ...more });
  const along = async (filter: string, cursor = ''): Promise<string[]> => {
    const one = await page(`?limit=1&${filter}${cursor}`);
    const rest = one.nextCursor && (await along(filter, `&cursor=${one.nextCursor}`));
    return namesOf(one).concat(rest ?? []);
  };
  expect(await along('tag=paged')).toEqual(['paged 3', 'paged 1', 'paged 0']);
  expect(await along('tag=paged&service=service-x')).toEqual(['paged 3', 'paged 0']);
});

test('a tag finds a key from the change that gave it on, and not after the one that took it', async () => {
  const { key } = await world.issue({ name: 'retagged', tags: ['old', 'kept'] });
  const retag = await management
    .call('patch', `/v1/keys/${key.id}`, world.admin)
    .set('if-match', '*')
    .send({ tags: ['kept', 'new'] });
  expect(retag.status).toBe(200);
  const found = await Promise.all(['old', 'kept', 'new'].map((tag) => page(`?tag=${tag}`)));
  expect(found.map(namesOf)).toEqual([[], ['retagged'], ['retagged']]);
});

test('the keys of a disabled consumer are found as disabled, and as active again with it', async () => {
  await management.call('post', '/v1/consumers', world.admin).send({ slug: 'switched' });
  const set = (enabled: boolean) =>
    management
      .call('patch', '/v1/consumers/switched', world.admin)
      .set('if-match', '*')
      .send({ enabled });
  await world.issue({ name: 'on', consumer: 'switched' });
  const off = await world.issue({ name: 'off', consumer: 'switched' });
  await management.call('post', `/v1/keys/${off.key.id}/disable`, world.admin);
  const lists = async () => [
    namesOf(await page('?consumer=switched&status=disabled')),
    namesOf(await page('?consumer=switched&status=active')),
  ];
  expect(await lists()).toEqual([['off'], ['on']]);
  expect((await set(false)).status).toBe(200);
  expect(await lists()).toEqual([['off', 'on'], []]);
  expect((await set(true)).status).toBe(200);
  expect(await lists()).toEqual([['off'], ['on']]);
});

test('a cursor opens its own list only: same principal, same filters, unaltered', async () => {
  const { nextCursor } = await page('?limit=1&environment=live');
  const cursor = nextCursor!;
  const again = await list(`?limit=3&environment=live&cursor=${cursor}`);
  expect(again.status).toBe(200);
  const other = await management.issuer.person('usr_other');
  const flipped = (cursor.startsWith('0') ? '1' : '0') + cursor.slice(1);
  const answers = [
    await list(`?limit=1&environment=live&cursor=${cursor}`, other),
    await list(`?limit=1&environment=test&cursor=${cursor}`),
    await list(`?limit=1&cursor=${cursor}`),
    await list(`?limit=1&environment=live&status=active&cursor=${cursor}`),
    await list(`?limit=1&environment=live&cursor=${flipped}`),
    await list(`?limit=1&environment=live&cursor=${cursor}00`),
    await list(`?limit=1&environment=live&cursor=${cursor.slice(0, -2)}`),
    await list(`?limit=1&environment=live&cursor=${cursor.toUpperCase()}z`),
    await list('?limit=1&environment=live&cursor=99'),
    await management.call('get', `/v1/services?limit=1&cursor=${cursor}`, world.admin),
    await management.call('get', `/v1/consumers?limit=1&cursor=${cursor}`, world.admin),
  ];
  for (const answer of answers)
    expect(problemIn(answer)).toEqual({ status: 400, code: 'INVALID_CURSOR' });
});

test.each([
  'limit=0',
  'limit=-1',
  'limit=1e9',
  'limit=201',
  'limit=1&limit=2',
  'limit=',
  'limit=abc',
  'a[b]=c',
  'cursor=',
  'status=gone',
  'environment=prod',
  'service=Service%20A',
  'orderBy=(select%20pg_sleep(5))',
  "consumer='%20OR%20'1'='1",
  'sort=seq;drop%20table%20keys.key',
])('?%s is refused', async (query) => {
  const answer = await list(`?${query}`);
  expect(problemIn(answer)).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
});

test('a parameter that is named twice is refused by its name', async () => {
  const { body } = await list('?limit=1&limit=2');
  const detail = 'Name this parameter once';
  expect(body).toMatchObject({ errors: [{ pointer: '/limit', detail }] });
});

test('SQL in a filter that takes free text is text', async () => {
  const texts = [`' OR 1=1 --`, `a'); SELECT pg_sleep(10); --`, `{a,b}`, `%`, `\\`, `"`];
  for (const text of texts) {
    const found = await list(`?tag=${encodeURIComponent(text)}`);
    expect({ status: found.status, body: found.body as Page }).toEqual({
      status: 200,
      body: { data: [], nextCursor: null },
    });
  }
});

test('SQL in every text of a key is kept as text', async () => {
  const evil = `'); DELETE FROM keys.key; SELECT pg_sleep(10); --`;
  const before = await world.count('key');
  const { key } = await world.issue({ name: evil, metadata: { [evil]: evil } });
  expect([key.name, key.metadata]).toEqual([evil, { [evil]: evil }]);
  const { call } = management;
  const comment = await call('post', `/v1/keys/${key.id}/revoke`, world.admin).send({
    reason: 'leaked',
    comment: evil,
  });
  expect(comment.status).toBe(200);
  const consumer = await call('post', '/v1/consumers', world.admin).send({
    slug: 'evil',
    name: evil,
    contact: evil,
  });
  expect(consumer.body).toMatchObject({ name: evil, contact: evil });
  expect(await world.count('key')).toBe(before + 1);
});

describe('finding', () => {
  const owner = (sql: string, parameters: unknown[]) =>
    management.postgres.owner.query<unknown>(sql, parameters);
  const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1_000).toISOString();

  beforeAll(async () => {
    await management.call('post', '/v1/consumers', world.admin).send({ slug: 'finding' });
    for (const [name, over] of Object.entries({
      'ends last': { expiresInSeconds: 3_000 },
      'ends first': { expiresInSeconds: 1_000 },
      'ends never': { expiresAt: null },
      'ends second': { expiresInSeconds: 2_000 },
      'ends second too': { expiresInSeconds: 2_000 },
    }))
      await world.issue({ name, consumer: 'finding', ...over });
    const used = `UPDATE keys.key SET created_at = $2, last_used_at = $3 WHERE name = $1`;
    const [year, month] = ['2024-01-01T00:00:00.000001Z', '2025-06-01T00:00:00.123456Z'];
    await owner(used, ['ends first', year, null]);
    await owner(used, ['ends never', year, month]);
    await owner(used, ['ends last', year, new Date()]);
    await owner(used, ['ends second', month, null]);
  });

  const names = async (query: string) => namesOf(await page(`?consumer=finding&${query}`));
  const walk = async (query: string): Promise<string[]> => {
    const found: string[] = [];
    for (let cursor = ''; ;) {
      const one = await page(`?consumer=finding&limit=1&${query}${cursor}`);
      found.push(...namesOf(one));
      if (one.nextCursor === null) return found;
      cursor = `&cursor=${one.nextCursor}`;
    }
  };

  test('by their end: those that end before a time, the soonest first', async () => {
    const query = `expiresBefore=${inSeconds(2_500)}`;
    const found = await names(query);
    expect(found).toEqual(['ends first', 'ends second', 'ends second too']);
    expect(await walk(query)).toEqual(found);
    expect(await walk(`expiresBefore=${inSeconds(10_000)}`)).toEqual([...found, 'ends last']);
  });

  test('by their use: those made before a time and not used since, the longest unused first', async () => {
    const query = 'unusedSince=2026-01-01T00:00:00Z';
    const found = await names(query);
    expect(found).toEqual(['ends first', 'ends never', 'ends second']);
    expect(await walk(query)).toEqual(found);
    expect(await names('unusedSince=2024-06-01T00:00:00Z')).toEqual(['ends first']);
    expect(await walk(`${query}&expiresBefore=${inSeconds(1_500)}`)).toEqual(['ends first']);
  });

  test('those that have expired', async () => {
    await owner(`UPDATE keys.key SET expires_at = $2 WHERE name = $1`, [
      'ends last',
      inSeconds(-5),
    ]);
    expect(await walk('status=expired')).toEqual(['ends last']);
    expect(await walk('status=active')).not.toContain('ends last');
    const query = `expiresBefore=${inSeconds(10_000)}`;
    const live = ['ends first', 'ends second', 'ends second too'];
    expect(await walk(query)).toEqual(['ends last', ...live]);
    expect(await walk(`${query}&status=active`)).toEqual(live);
    expect(await walk(`${query}&status=disabled`)).toEqual([]);
  });

  test('by a part of the name in any case, every character standing for itself', async () => {
    expect(await names('q=SECOND')).toEqual(['ends second too', 'ends second']);
    await world.issue({ name: '100%_\\', consumer: 'finding' });
    for (const q of ['%', '_', '\\', '0%_', '100%_\\'])
      expect(await names(`q=${encodeURIComponent(q)}`)).toEqual(['100%_\\']);
    expect(await names('q=nothing')).toEqual([]);
    expect(await names(`q=${encodeURIComponent("' OR true --")}`)).toEqual([]);
  });

  test('by the id or the last characters of the secret, whole and exact', async () => {
    const { key } = await world.issue({ name: 'hinted', consumer: 'finding' });
    const swapped = key.id.replace(/[a-zA-Z](?=[^a-zA-Z]*$)/, (c) =>
      c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase(),
    );
    expect(await names(`q=${key.id}`)).toEqual(['hinted']);
    expect(await names(`q=${swapped}`)).toEqual([]);
    expect(await names(`q=${key.id.slice(0, -1)}`)).toEqual([]);
    expect(await names(`q=${key.hint.last4}`)).toContain('hinted');
  });

  test.each([
    'expiresBefore=tomorrow',
    'expiresBefore=',
    'unusedSince=1700000000',
    'q=',
    'q=%00',
    'tag=%00',
    `q=${'x'.repeat(129)}`,
    'q=a&q=b',
    'sort=name',
  ])('what is not a filter is refused: %s', async (query) => {
    expect(problemIn(await list(`?${query}`))).toMatchObject({ status: 400 });
  });

  test('an admin of one service finds only keys of it, page by page', async () => {
    const token = await management.issuer.person('usr_x', { services: ['service-x'] });
    const grants = [{ service: 'service-x', scopes: ['things:read'] }];
    for (const name of ['x1', 'x2', 'x3']) await world.issue({ name, grants });
    const first = await page('?limit=2', token);
    const second = await page(`?limit=2&cursor=${first.nextCursor}`, token);
    expect([first, second].map(namesOf)).toEqual([['x3', 'x2'], ['x1']]);
    expect(namesOf(await page('?service=service-a', token))).toEqual([]);
  });

  test('by a part of the name among many keys, however few or many have it, page by page', async () => {
    const { key } = await world.issue({ name: 'needle, made first', consumer: 'finding' });
    await owner(
      `INSERT INTO keys.key OVERRIDING SYSTEM VALUE
       SELECT copy.* FROM keys.key k, generate_series(1, 1200) AS n,
         jsonb_populate_record(k, jsonb_build_object('id', 'key_' || lpad(n::text, 16, '0'), 'name', 'hay ' || n,
           'seq', nextval(pg_get_serial_sequence('keys.key', 'seq')))) AS copy
       WHERE k.id = $1 ORDER BY n`,
      [key.id],
    );
    await owner(
      `INSERT INTO keys.secret
       SELECT copy.* FROM keys.secret s, keys.key k, jsonb_populate_record(s, jsonb_build_object('key_id', k.id)) AS copy
       WHERE s.key_id = $1 AND k.name LIKE 'hay %'`,
      [key.id],
    );
    const all = async (query: string) => {
      const found: string[] = [];
      for (let cursor = ''; ;) {
        const one = await page(`?consumer=finding&limit=50&${query}${cursor}`);
        found.push(...namesOf(one));
        if (one.nextCursor === null) return found;
        cursor = `&cursor=${one.nextCursor}`;
      }
    };
    const hay = Array.from({ length: 1_200 }, (_, i) => `hay ${1_200 - i}`);
    expect(await all('q=needle')).toEqual(['needle, made first']);
    expect(await all('q=hay%207')).toEqual(hay.filter((name) => name.startsWith('hay 7')));
    expect(await all('q=HAY')).toEqual(hay);
    expect(await all('q=needle&status=revoked')).toEqual([]);
  });
});
