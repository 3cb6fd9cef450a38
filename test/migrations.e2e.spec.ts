import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { migrate, MIGRATIONS, revertLast } from '../migrations/migrate.js';
import { startPostgres, type TestPostgres } from './support/postgres.js';

const MIGRATE = fileURLToPath(new URL('../migrations/migrate.js', import.meta.url));
const NAMES = MIGRATIONS.map((migration) => migration.name);

describe('migrations', () => {
  let postgres: TestPostgres;
  let urls: { ownerUrl: string; loginUrl: string; keyServiceUrl: string };
  beforeAll(async () => {
    postgres = await startPostgres();
    urls = {
      ownerUrl: postgres.url,
      loginUrl: postgres.urlFor('keyward_login_app', `it's "quoted"; DROP ROLE x`),
      keyServiceUrl: postgres.urlFor('Key Service"App', 'pass/word@1'),
    };
  });
  afterAll(() => postgres.remove());

  it('run once, in order, when several processes start them at the same time', async () => {
    const done = await Promise.all([migrate(urls), migrate(urls), migrate(urls)]);
    expect(done.toSorted((a, b) => b.length - a.length)).toEqual([NAMES, [], []]);
    const rows = await postgres.query<{ name: string }>(
      'SELECT name FROM keyward_migrations ORDER BY id',
    );
    expect(rows.map((row) => row.name)).toEqual(NAMES);
  });

  it('a new password in a URL is the one that works afterwards', async () => {
    const loginUrl = postgres.urlFor('keyward_login_app', 'a new password');
    await migrate({ ...urls, loginUrl });
    await expect(codeOf(urls.loginUrl, 'SELECT 1')).resolves.toBe('28P01');
    await expect(codeOf(loginUrl, 'SELECT 1')).resolves.toBe('ok');
    urls.loginUrl = loginUrl;
  });

  it('passwords are kept as SCRAM verifiers', async () => {
    const rows = await postgres.query<{ rolpassword: string }>(
      `SELECT rolpassword FROM pg_authid WHERE rolname IN ('keyward_login_app', 'Key Service"App')`,
    );
    expect(rows.map((row) => row.rolpassword.slice(0, 19))).toEqual(
      Array(2).fill('SCRAM-SHA-256$4096:'),
    );
  });

  it('a runtime role cannot change the schema, nor see the other one', async () => {
    const attempts = [
      [urls.loginUrl, 'CREATE TABLE login.more (id int)'],
      [urls.loginUrl, 'CREATE TABLE public.more (id int)'],
      [urls.loginUrl, 'CREATE SCHEMA more'],
      [urls.loginUrl, 'CREATE ROLE more'],
      [urls.loginUrl, 'SELECT * FROM keys.key'],
      [urls.loginUrl, 'SET ROLE keyward_key_service'],
      [urls.keyServiceUrl, 'CREATE TABLE keys.more (id int)'],
      [urls.keyServiceUrl, 'ALTER TABLE keys.key ADD COLUMN more int'],
      [urls.keyServiceUrl, 'DROP TABLE keys.key'],
      [urls.keyServiceUrl, 'SET ROLE keyward_login'],
    ] as const;
    for (const [url, sql] of attempts)
      expect([sql, await codeOf(url, sql)]).toEqual([sql, '42501']);
    const tables = await postgres.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'login'`,
    );
    for (const { name } of tables) {
      expect([name, await codeOf(urls.keyServiceUrl, `SELECT * FROM ${name}`)]).toEqual([
        name,
        '42501',
      ]);
    }
  });

  it('the change log takes rows from the key service and gives none of them up', async () => {
    const insert = `INSERT INTO keys.change_log (seq, actor, action, target_type, target_id)
      VALUES (1, 'tester', 'key.created', 'key', 'key_0000000000000000')`;
    expect(await codeOf(urls.keyServiceUrl, insert)).toBe('ok');
    const attempts = ['UPDATE keys.change_log SET actor = actor', 'DELETE FROM keys.change_log'];
    for (const url of [urls.keyServiceUrl, urls.ownerUrl]) {
      for (const sql of [...attempts, 'TRUNCATE keys.change_log']) {
        expect([sql, await codeOf(url, sql)]).toEqual([sql, '42501']);
      }
    }
  });

  it('an owner who may not create roles is told what to have run, without a password', async () => {
    const server = await startPostgres();
    try {
      await server.query(`CREATE ROLE small_owner LOGIN PASSWORD 'small'`);
      await server.query('CREATE DATABASE small OWNER small_owner');
      const small = inDatabase(server.urlFor('small_owner', 'small'), 'small');
      const loginUrl = inDatabase(server.urlFor('login_app', 'hidden'), 'small');
      const failure = migrate({ ownerUrl: small, loginUrl });
      await expect(failure).rejects.toThrow(
        /CREATE ROLE "keyward_login" [^]*CREATE ROLE "login_app"[^]*GRANT "keyward_login" TO "login_app";/,
      );
      await expect(failure).rejects.not.toThrow(/hidden/);

      await server.query(
        'CREATE ROLE keyward_login; CREATE ROLE keyward_key_service; CREATE ROLE keyward_service_a',
      );
      await server.query(`CREATE ROLE login_app LOGIN PASSWORD 'hidden' IN ROLE keyward_login`);
      await expect(migrate({ ownerUrl: small, loginUrl })).resolves.toEqual(NAMES);
    } finally {
      await server.remove();
    }
  });

  it('the process says what it did, and what is missing where it cannot', async () => {
    const env = { MIGRATION_DATABASE_URL: urls.ownerUrl, KEYWARD_HOME: '/nonexistent' };
    await expect(promisify(execFile)(process.execPath, [MIGRATE], { env })).resolves.toMatchObject({
      stdout: 'The database is up to date\n',
    });
    const failure = promisify(execFile)(process.execPath, [MIGRATE], {
      env: { KEYWARD_HOME: '/nonexistent' },
    });
    await expect(failure).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('MIGRATION_DATABASE_URL') as string,
    });
  });

  it('can be taken back one by one and run again', async () => {
    for (const _ of NAMES) await revertLast(urls.ownerUrl);
    const schemas = `SELECT nspname FROM pg_namespace WHERE nspname IN ('login', 'keys', 'service_a')`;
    await expect(postgres.query(schemas)).resolves.toEqual([]);
    await expect(migrate(urls)).resolves.toEqual(NAMES);
  });
});

function inDatabase(url: string, name: string): string {
  return Object.assign(new URL(url), { pathname: `/${name}` }).href;
}

/** `ok`, or the SQLSTATE with which the server refuses a statement or the connection. */
async function codeOf(url: string, sql: string): Promise<string> {
  const client = new Client({ connectionString: url });
  try {
    await client.connect();
    await client.query(sql);
    return 'ok';
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message;
  } finally {
    await client.end();
  }
}
