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
}, 60_000);
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
