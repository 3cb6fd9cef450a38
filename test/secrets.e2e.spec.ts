import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import type { IssuedClient, IssuedKey, RotatedKey, TokenPair, User } from '#contracts';
import { startScene, type Ask, type Scene, type ServiceName } from './support/scene.js';

const PASSWORD = 'a pass phrase / of 27+ signs';
const NEXT_PASSWORD = 'another pass phrase = of 32 signs';
const WRONG_PASSWORD = 'typed%by&mistake?into the field';

let scene: Scene;
let admin: string;
/** Everything that was a secret at some time, by what it is. */
const secrets = new Map<string, string>();
const keep = (what: string, secret: string): string => {
  secrets.set(`${what} ${secrets.size}`, secret);
  return secret;
};

beforeAll(async () => {
  scene = await startScene({ env: { LOG_LEVEL: 'debug' } });
  const { quickstart, at } = scene.platform;
  keep('admin password', quickstart.admin.password);
  for (const one of Object.values(quickstart.clients)) keep('client secret', one.clientSecret);
  keep('first key', readFileSync(at('service-b.key'), 'utf8').trim());
  for (const name of ['LOGIN_SECRET', 'KEY_SERVICE_SECRET'])
    keep(name, scene.variables[name] ?? '');
  for (const pepper of (scene.variables['KEY_PEPPERS'] ?? '').split(','))
    keep('pepper', pepper.split(':')[1] ?? '');
  for (const name of ['MIGRATION_DATABASE_URL', 'LOGIN_DATABASE_URL', 'KEY_SERVICE_DATABASE_URL'])
    keep(name, new URL(scene.variables[name] ?? '').password);
  keep('Redis password', new URL(scene.variables['REDIS_URL'] ?? '').password);
  await walk();
});
afterAll(() => scene?.platform.remove());

/** Every flow, and every place that a secret may be put into by mistake. */
async function walk(): Promise<void> {
  admin = keep('access token', await scene.token());
  keep('service token', await scene.serviceToken('service-a'));
  await walkSessions();
  await walkAccounts();
  await walkKeys();
  await walkMistakes();
}

async function walkSessions(): Promise<void> {
  const { admin: person } = scene.platform.quickstart;
  for (const via of ['serviceA', 'login'] as const) {
    const pair = await scene.tell(via, '/v1/login', { body: person });
    const { accessToken, refreshToken } = keepPair(pair.body);
    const next = await scene.tell(via, '/v1/token/refresh', { body: { refreshToken } });
    keepPair(next.body);
    await scene.tell(via, '/v1/token/refresh', { body: { refreshToken } });
    const other = keepPair((await scene.tell(via, '/v1/login', { body: person })).body);
    await scene.tell(via, '/v1/logout', { body: { refreshToken: other.refreshToken } });
    await scene.tell('login', '/v1/me', { token: accessToken });
    const wrong = keep('wrong password', `${WRONG_PASSWORD} ${via}`);
    await scene.tell(via, '/v1/login', { body: { username: person.username, password: wrong } });
    await scene.tell(via, '/v1/login', { body: { username: wrong, password: person.password } });
  }
}

function keepPair(body: unknown): TokenPair {
  const pair = body as TokenPair;
  keep('access token', pair.accessToken);
  keep('refresh token', pair.refreshToken);
  return pair;
}

async function walkAccounts(): Promise<void> {
  const token = admin;
  const body = { username: 'ada', password: keep('password', PASSWORD) };
  const made = await scene.tell('login', '/v1/users', { token, body });
  const { id } = made.body as User;
  await scene.tell('login', `/v1/users/${id}/password`, {
    token,
    body: { password: keep('password', NEXT_PASSWORD) },
  });
  keep('access token', await scene.token({ username: 'ada', password: NEXT_PASSWORD }));
  const client = await scene.tell('login', '/v1/clients', {
    token,
    body: { clientId: 'service-x' },
  });
  const { clientSecret } = client.body as IssuedClient;
  keep('client secret', clientSecret);
  keep('service token', await scene.serviceToken('service-x', { clientSecret }));
  const path = '/v1/clients/service-x/secret';
  const replaced = await scene.tell('login', path, { token, method: 'POST' });
  keep('client secret', (replaced.body as IssuedClient).clientSecret);
  await scene.serviceToken('service-x', { clientSecret }).catch(() => undefined);
}

async function walkKeys(): Promise<void> {
  const { key, secret } = await provision();
  const file = scene.platform.at('service-b.key');
  const before = readFileSync(file, 'utf8');
  writeFileSync(file, secret);
  await scene.tell('serviceB', '/v1/summary', { token: admin });
  const rotate = await scene.tell('serviceA', `/v1/api-keys/${key.id}/rotate`, {
    token: admin,
    body: { overlapSeconds: 60 },
  });
  const rotated = rotate.body as RotatedKey;
  keep('rotated key', rotated.secret);
  for (const one of [secret, rotated.secret, before.trim()]) {
    for (let i = 0; i < 3; i += 1) await scene.tell('serviceA', '/v1/reports', { key: one });
  }
  await scene.tell('serviceA', `/v1/api-keys/${key.id}/revoke`, {
    token: admin,
    body: { reason: 'leaked', comment: 'seen in a chat' },
  });
  await scene.tell('serviceB', '/v1/summary', { token: admin });
  writeFileSync(file, before);
  await scene.tell('serviceB', '/v1/key-status', { token: admin });
  await scene.tell('serviceA', '/v1/api-keys', { token: admin });
}

async function provision(): Promise<IssuedKey> {
  const body = { name: 'walk', consumer: 'service-b', scopes: ['reports:read'] };
  const headers = { 'idempotency-key': `walk-${secrets.size}` };
  const options = { token: admin, body, headers };
  const answer = await scene.tell('serviceA', '/v1/api-keys', options);
  const issued = answer.body as IssuedKey;
  keep('key', issued.secret);
  // Again: the answer may come from where it was kept meanwhile.
  await scene.tell('serviceA', '/v1/api-keys', options);
  return issued;
}

/** Places in which people put secrets; each must be refused or leave no trace. */
function mistakesWith(secret: string): [ServiceName, string, Ask][] {
  const grants = [{ service: 'service-a', scopes: ['reports:read'] }];
  const own = { name: 'x', consumer: 'service-b', scopes: ['reports:read'] };
  const key = { name: 'x', consumer: 'service-b', grants };
  const token = admin;
  const encoded = encodeURIComponent(secret);
  return [
    ['serviceA', `/v1/reports?key=${encoded}`, {}],
    ['serviceA', `/v1/reports?note=${encoded}`, {}],
    ['serviceA', `/v1/reports/${encoded}`, { key: secret }],
    ['serviceA', `/x_${encoded}`, {}],
    ['serviceA', '/v1/reports', { headers: { cookie: `key=${encoded}` } }],
    ['serviceA', '/v1/reports', { token: secret }],
    ['serviceA', '/v1/reports', { key: `${secret}x` }],
    ['serviceA', '/v1/reports', { headers: { 'x-request-id': secret, 'user-agent': secret } }],
    [
      'serviceA',
      '/v1/reports',
      { headers: { traceparent: secret, referer: `http://x/${encoded}` } },
    ],
    ['serviceA', '/v1/login', { body: { username: secret, password: secret } }],
    ['serviceA', '/v1/login', { body: { [secret]: secret } }],
    ['serviceA', '/v1/token/refresh', { body: { refreshToken: secret } }],
    ['serviceA', '/v1/logout', { body: { refreshToken: secret } }],
    ['serviceA', '/v1/api-keys', { token, body: { ...own, name: secret } }],
    ['serviceA', '/v1/api-keys', { token, body: { ...own, consumer: secret } }],
    ['serviceA', '/v1/api-keys', { token, body: { ...own, scopes: [secret] } }],
    ['serviceA', '/v1/api-keys', { token, body: { ...own, [secret]: 1 } }],
    ['serviceA', '/v1/api-keys', { token, body: own, headers: { 'idempotency-key': secret } }],
    ['serviceA', `/v1/api-keys?consumer=${encoded}`, { token }],
    ['serviceB', `/v1/${encoded}`, { token }],
    ['serviceB', '/v1/summary', { token: secret }],
    ['keyService', '/v1/keys', { token, body: { ...key, name: `my key is ${secret}` } }],
    ['keyService', '/v1/keys', { token, body: { ...key, name: secret } }],
    ['keyService', '/v1/keys', { token, body: { ...key, tags: [secret] } }],
    ['keyService', '/v1/keys', { token, body: { ...key, metadata: { note: secret } } }],
    ['keyService', '/v1/keys', { token, body: { ...key, metadata: { [secret]: 1 } } }],
    ['keyService', '/v1/keys', { token, body: { ...key, id: secret, key: secret } }],
    ['keyService', '/v1/keys', { token, headers: { 'x-actor-token': secret }, body: key }],
    ['keyService', `/v1/keys/${encoded}`, { token }],
    ['keyService', `/v1/keys?tag=${encoded}`, { token }],
    ['keyService', '/v1/keys/verify', { token, body: { key: secret } }],
    ['keyService', '/v1/keys/verify', { token: secret, body: { key: secret, [secret]: 1 } }],
    ['keyService', '/v1/consumers', { token, body: { slug: 'c', name: secret } }],
    ['keyService', '/v1/consumers', { token, body: { slug: 'c', contact: secret } }],
    ['keyService', '/v1/services', { token, body: { slug: 's', scopes: [], name: secret } }],
    [
      'login',
      '/v1/users',
      { token, body: { username: secret, password: secret, roles: [secret] } },
    ],
    ['login', '/v1/clients', { token, body: { clientId: 'c', name: secret } }],
    [
      'login',
      '/oauth2/token',
      { headers: { authorization: `Basic ${btoa(`a:${secret}`)}` }, method: 'POST' },
    ],
    ['login', '/oauth2/token', { headers: { authorization: `Basic ${secret}` }, method: 'POST' }],
    ['login', `/v1/me?access_token=${encoded}`, {}],
  ];
}

async function walkMistakes(): Promise<void> {
  const { key, secret } = await provision();
  const pair = await scene.tell('login', '/v1/login', { body: scene.platform.quickstart.admin });
  const { accessToken, refreshToken } = keepPair(pair.body);
  const { clientSecret } = scene.platform.quickstart.clients['service-a']!;
  for (const one of [secret, accessToken, refreshToken, clientSecret]) {
    for (const [service, path, options] of mistakesWith(one))
      await scene.tell(service, path, options);
  }
  await scene.tell('keyService', `/v1/keys/${key.id}/revoke`, {
    token: admin,
    body: { reason: 'leaked', comment: `this one: ${secret}` },
  });
  await scene.tell('keyService', `/v1/keys/${key.id}/rotate`, {
    token: admin,
    body: { reason: secret },
  });
}

/** What a secret may look like wherever it should not be. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // Within a longer base64 text it begins at one of three places.
  const base64 = [0, 1, 2].map((skip) => bytes.subarray(skip).toString('base64').slice(0, -4));
  return [
    secret,
    encodeURIComponent(secret),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    ...base64,
    ...base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    // A key or token without its beginning would do as well.
    ...(secret.length > 60 ? [secret.slice(-40)] : []),
  ];
}

/** Names of the secrets that a text holds. */
function foundIn(text: string): string[] {
  return [...secrets]
    .filter(([, secret]) => formsOf(secret).some((one) => text.includes(one)))
    .map(([name]) => name);
}

it('the walk has made secrets of every kind', () => {
  expect(secrets.size).toBeGreaterThan(35);
  expect(
    [...secrets].filter(([, secret]) => typeof secret !== 'string' || secret.length < 12),
  ).toEqual([]);
});

describe('no key, password, token or client secret is', () => {
  it('in a log', () => {
    const folder = scene.platform.at('logs');
    const found = readdirSync(folder).map((name) => [
      name,
      foundIn(readFileSync(`${folder}/${name}`, 'utf8')),
    ]);
    expect(found.length).toBeGreaterThan(5);
    expect(found.filter(([, names]) => names?.length !== 0)).toEqual([]);
  });

  it('on the terminal, but for the first password', () => {
    const lines = scene.platform.output().split('\n');
    const banner = lines.filter((line) => /^ {2}password +\S+ +\(shown this once;/.test(line));
    expect(banner).toHaveLength(1);
    expect(foundIn(lines.filter((line) => line !== banner[0]).join('\n'))).toEqual([]);
  });

  it('in the database, in whatever table', async () => {
    const tables = await scene.sql<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
       WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
    );
    expect(tables.length).toBeGreaterThan(14);
    const found: unknown[] = [];
    for (const { name } of tables) {
      const rows = await scene.sql<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
      const names = foundIn(rows.map(({ row }) => row).join('\n'));
      if (names.length > 0) found.push([name, names]);
    }
    expect(found).toEqual([]);
  });

  it('in Redis, as a name or a value', async () => {
    const redis = new Redis(scene.variables['REDIS_URL'] ?? '');
    try {
      const names = await redis.keys('*');
      expect(names.length).toBeGreaterThan(3);
      const values = await Promise.all(names.map((name) => valueOf(redis, name)));
      expect(foundIn([...names, ...values].join('\n'))).toEqual([]);
    } finally {
      redis.disconnect();
    }
  });
});

/** Whatever is under a name, as text; each byte a character. */
async function valueOf(redis: Redis, name: string): Promise<string> {
  const commands: Record<string, [string, ...string[]]> = {
    string: ['GET', name],
    hash: ['HGETALL', name],
    list: ['LRANGE', name, '0', '-1'],
    set: ['SMEMBERS', name],
    zset: ['ZRANGE', name, '0', '-1'],
    stream: ['XRANGE', name, '-', '+'],
  };
  const [command, ...args] = commands[await redis.type(name)] ?? ['DUMP', name];
  return textOf(await redis.callBuffer(command, ...args));
}

function textOf(value: unknown): string {
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  return Array.isArray(value) ? value.map(textOf).join('\n') : String(value);
}

describe('what an app may do in the database', () => {
  const roles = [
    { app: 'login', variable: 'LOGIN_DATABASE_URL', own: 'login.user', other: 'keys' },
    { app: 'key-service', variable: 'KEY_SERVICE_DATABASE_URL', own: 'keys.key', other: 'login' },
  ];

  /** What PostgreSQL says to a statement of a role: `ok`, or the error's code. Nothing stays. */
  async function attempt(variable: string, statement: string): Promise<string> {
    const client = new Client({ connectionString: scene.variables[variable] });
    await client.connect();
    try {
      await client.query('BEGIN');
      await client.query(statement);
      return 'ok';
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    } finally {
      await client.query('ROLLBACK');
      await client.end();
    }
  }

  it.each(roles)(
    '$app cannot change the schema, nor reach beyond it',
    async ({ variable, own, other }) => {
      const tables = await scene.sql<{ name: string }>(
        `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = $1`,
        [other],
      );
      expect(tables.length).toBeGreaterThan(4);
      const [schema] = own.split('.');
      const statements = [
        `CREATE TABLE ${schema}.mine (a int)`,
        'CREATE TABLE public.mine (a int)',
        'CREATE SCHEMA mine',
        `CREATE FUNCTION ${schema}.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
        `ALTER TABLE ${own} ADD COLUMN mine int`,
        `ALTER TABLE ${own} DISABLE TRIGGER ALL`,
        `DROP TABLE ${own} CASCADE`,
        `TRUNCATE ${own} CASCADE`,
        `CREATE INDEX mine ON ${own} (id)`,
        'CREATE ROLE mine',
        'ALTER ROLE CURRENT_USER SUPERUSER',
        'CREATE EXTENSION pg_stat_statements',
        'SET session_replication_role = replica',
        "SELECT pg_read_file('PG_VERSION')",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        'SELECT * FROM pg_authid',
        'SET ROLE keyward_owner',
        'SELECT * FROM public.keyward_migrations',
        ...tables.flatMap(({ name }) => [
          `SELECT FROM ${name}`,
          `DELETE FROM ${name}`,
          `TRUNCATE ${name} CASCADE`,
        ]),
      ];
      const allowed = [];
      for (const statement of statements) {
        const code = await attempt(variable, statement);
        if (code !== '42501') allowed.push([statement, code]);
      }
      expect(allowed).toEqual([]);
    },
  );

  it.each(roles)(
    '$app works with its own rows, under a role that is no owner',
    async ({ variable, own }) => {
      expect(await attempt(variable, `SELECT * FROM ${own}`)).toBe('ok');
      const owns = await scene.sql(
        `SELECT FROM pg_class WHERE pg_get_userbyid(relowner) = $1 AND relnamespace <> 'pg_toast'::regnamespace`,
        [new URL(scene.variables[variable] ?? '').username],
      );
      expect(owns).toEqual([]);
    },
  );

  it('nobody changes or removes a row of the change log, not even the owner', async () => {
    const count = () =>
      scene.sql(
        `SELECT count(*)::int AS rows, md5(string_agg(t::text, ',' ORDER BY seq)) FROM keys.change_log t`,
      );
    const before = await count();
    expect(before).not.toMatchObject([{ rows: 0 }]);
    const outcomes = [];
    for (const variable of [
      'LOGIN_DATABASE_URL',
      'KEY_SERVICE_DATABASE_URL',
      'MIGRATION_DATABASE_URL',
    ]) {
      for (const statement of [
        "UPDATE keys.change_log SET actor = 'somebody'",
        'UPDATE keys.change_log SET after = NULL WHERE seq = 1',
        'DELETE FROM keys.change_log WHERE seq = 1',
        'DELETE FROM keys.change_log',
        'TRUNCATE keys.change_log',
        "INSERT INTO keys.change_log (seq, actor, action, target_type, target_id) VALUES (1, 'a', 'b', 'key', 'c') ON CONFLICT (seq) DO UPDATE SET actor = 'somebody'",
      ])
        outcomes.push(await attempt(variable, statement));
    }
    expect(new Set(outcomes)).toEqual(new Set(['42501']));
    expect(await count()).toEqual(before);
  });
});

describe('login has no notion of API keys', () => {
  const ABOUT_KEYS = /api[-_ ]?key|x-api|key-(core|guard|client)/i;

  it('in its tables', async () => {
    const columns = await scene.sql<{ name: string }>(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
       WHERE table_schema = 'login' AND (table_name || column_name) ~* 'key'`,
    );
    expect(columns.map(({ name }) => name).filter((name) => !/^signing_key\./.test(name))).toEqual(
      [],
    );
  });

  it('in its routes and what it says of them', async () => {
    const { body } = await scene.tell('login', '/openapi.json');
    expect(JSON.stringify(body)).not.toMatch(ABOUT_KEYS);
  });

  it('in its code, its imports included', () => {
    const folder = fileURLToPath(new URL('../apps/login/src/', import.meta.url));
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.js') && !/\.spec\.js$|^testing\//.test(name),
    );
    expect(files.length).toBeGreaterThan(30);
    const speaking = files.filter((name) =>
      ABOUT_KEYS.test(readFileSync(`${folder}${name}`, 'utf8')),
    );
    expect(speaking).toEqual([]);
  });
});
