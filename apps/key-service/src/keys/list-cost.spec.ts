import { randomBytes } from 'node:crypto';
import { AbstractLogger, type DataSource } from 'typeorm';
import type { ListKeysQuery } from '#contracts';
import { createDataSource } from '../database.js';
import { ENTITIES } from '../entities.js';
import type { KeyMaterial } from '../key-material.js';
import { startPostgres, type TestPostgres } from '../testing/postgres.js';
import { listKeys } from './list-keys.js';

const KEYS = 20_000;
/** Keys before a page in the midst of a list, of which each has more than a thousand. */
const BEFORE = 4 * 200;
/** The most rows that a statement of a page of 50 may look at. One key in seven is revoked: to look for 51 of them among others takes more. */
const MOST_ROWS = 300;
/** The same of a search, which looks through 500 keys first. */
const MOST_SEARCHED = 600;
/** The same where one key in a hundred and forty fits. */
const MOST_OF_BOTH = 150;
/** The most pages of the database that a search by trigrams may read: some of the index, a key, and 64 kB of new entries. */
const MOST_PAGES = 200;

/** The most pages of the database that all statements of a page of 50 may read: one for each of 51 keys, and the way to them. */
const MOST_APART = 65;

interface Statement {
  sql: string;
  values: unknown[] | undefined;
}

/** Keeps the statements that are sent. */
class Recorder extends AbstractLogger {
  readonly sent: Statement[] = [];

  override logQuery(sql: string, values?: unknown[]): void {
    this.sent.push({ sql, values });
  }

  protected writeLog(): void {}
}

let postgres: TestPostgres;
let db: DataSource;
beforeAll(async () => {
  postgres = await startPostgres();
  await fill();
  db = await createDataSource(postgres.runtimeUrl, ENTITIES).initialize();
});
afterAll(async () => {
  await db.destroy();
  await postgres.stop();
});

/** Keys of all kinds, evenly mixed; what they end and were made by is in another order than that of their creation. */
async function fill(): Promise<void> {
  await postgres.owner.query(`
    INSERT INTO keys.service (slug, name, scopes, policy) SELECT 's-' || n, 's', '{a:read}', '{}' FROM generate_series(0, 1) n;
    INSERT INTO keys.consumer (slug, name) SELECT 'c-' || n, 'c' FROM generate_series(0, 19) n;
    INSERT INTO keys.key (id, name, consumer, environment, created_by, created_at, expires_at, state, revoked_at, tags)
      SELECT 'key_' || lpad(n::text, 16, '0'), CASE WHEN n % 10 = 9 THEN 'common ' ELSE 'name ' END || n, 'c-' || n * 7 % 20,
        CASE WHEN n % 10 = 8 THEN 'test' ELSE 'live' END, 'tester', now() - n * 7919 % 2000 * interval '1 hour',
        now() + (n * 6011 % 2000 - 1000) * interval '1 hour',
        CASE n % 7 WHEN 1 THEN 'revoked' WHEN 2 THEN 'disabled' ELSE 'active' END, CASE n % 7 WHEN 1 THEN now() END,
        CASE WHEN n % 5 < 2 THEN '{common}' ELSE '{}' END::text[]
      FROM generate_series(1, ${KEYS}) AS n ORDER BY n;
    INSERT INTO keys.key_grant (key_id, service, scopes) SELECT id, 's-' || seq % 2, '{a:read}' FROM keys.key ORDER BY seq;
    INSERT INTO keys.secret (key_id, number, digest, pepper_version, prefix, last4)
      SELECT id, 1, sha256(id::bytea), 1, 'kw', right(id, 4) FROM keys.key ORDER BY seq;
  `);
  await postgres.owner.query('VACUUM ANALYZE');
}

const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
type Filters = Omit<ListKeysQuery, 'limit'>;
const MATERIAL = { cursorKey: randomBytes(32), now: () => Date.now() } as KeyMaterial;
const BY = {
  actor: 'usr_admin',
  via: null,
  mayChange: true,
  services: null,
  requestId: 'r',
  ip: '127.0.0.1',
};

const page = (filters: Filters, limit: number) =>
  listKeys({ manager: db.manager, by: BY, material: MATERIAL, link: null }, { ...filters, limit });

/** The statements of one page of 50. */
async function statementsOf(filters: Filters): Promise<Statement[]> {
  const [recorder, before] = [new Recorder(true), db.logger];
  db.logger = recorder;
  await page(filters, 50).finally(() => (db.logger = before));
  return recorder.sent;
}

interface Node {
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  'Relation Name'?: string;
  Plans?: Node[];
}

async function planOf({ sql, values }: Statement): Promise<Node> {
  const explain = `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${sql}`;
  const [row] = await db.query<[{ 'QUERY PLAN': [{ Plan: Node }] }]>(explain, values);
  return row['QUERY PLAN'][0].Plan;
}

/** Rows of tables that were looked at, whatever became of them. */
function rowsOf(node: Node): number {
  const removed =
    (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
  const isOfTable = node['Relation Name'] !== undefined;
  const own = isOfTable ? (node['Actual Rows'] + removed) * node['Actual Loops'] : 0;
  return (node.Plans ?? []).reduce((total, one) => total + rowsOf(one), own);
}

function pagesOf(plan: Node): number {
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

async function mostRows(filters: Filters): Promise<number> {
  const rows = [0];
  for (const statement of await statementsOf(filters)) rows.push(rowsOf(await planOf(statement)));
  return Math.max(...rows);
}

test.each<[string, () => Filters]>([
  ['all keys', () => ({})],
  ['active ones', () => ({ status: 'active' })],
  ['disabled ones', () => ({ status: 'disabled' })],
  ['expired ones', () => ({ status: 'expired' })],
  ['revoked ones', () => ({ status: 'revoked' })],
  ['one environment', () => ({ environment: 'test' })],
  ['a service', () => ({ service: 's-1' })],
  ['a consumer', () => ({ consumer: 'c-3' })],
  ['a tag', () => ({ tag: 'common' })],
  ['those that end soon', () => ({ expiresBefore: inHours(900) })],
  ['active ones that end soon', () => ({ status: 'active', expiresBefore: inHours(900) })],
  ['disabled ones that end soon', () => ({ status: 'disabled', expiresBefore: inHours(900) })],
  ['revoked ones that end soon', () => ({ status: 'revoked', expiresBefore: inHours(900) })],
  ['unused ones', () => ({ unusedSince: inHours(-1) })],
  ['those with a part of a name', () => ({ q: 'common' })],
])('a page of %s looks at no more than its own rows, wherever it is', async (_, filtersOf) => {
  const filters = filtersOf();
  const most = filters.q === undefined ? MOST_ROWS : MOST_SEARCHED;
  expect(await mostRows(filters)).toBeLessThan(most);
  let cursor: string | undefined;
  for (let read = 0; read < BEFORE; read += 200) {
    const { nextCursor } = await page({ ...filters, ...(cursor && { cursor }) }, 200);
    cursor = nextCursor!;
  }
  expect(await mostRows({ ...filters, cursor: cursor! })).toBeLessThan(most);
});

test.each<[string, Filters]>([
  ['revoked', { status: 'revoked', consumer: 'c-3' }],
  ['disabled', { status: 'disabled', consumer: 'c-3' }],
])('a page of %s keys of a consumer looks at no others of it', async (_, filters) => {
  expect(await mostRows(filters)).toBeLessThan(MOST_OF_BOTH);
});

test.each<[string, () => Filters]>([
  ['expired ones', () => ({ status: 'expired' })],
  ['those that end soon', () => ({ expiresBefore: inHours(900) })],
  ['unused ones', () => ({ unusedSince: inHours(-1) })],
])(
  'a page of %s, which lie apart, reads nothing beside the rows of its keys',
  async (_, filtersOf) => {
    let pages = 0;
    for (const statement of await statementsOf(filtersOf()))
      pages += pagesOf(await planOf(statement));
    expect(pages).toBeLessThan(MOST_APART);
  },
);

test('a search for what few names have looks through few new entries, however many keys were used', async () => {
  await postgres.owner.query('UPDATE keys.key SET last_used_at = now()');
  const plan = await planOf({ sql: `SELECT keys.seqs_named('%name 12345%', 100)`, values: [] });
  expect(pagesOf(plan)).toBeLessThan(MOST_PAGES);
});
