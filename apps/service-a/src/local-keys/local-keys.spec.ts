import { createHash, randomBytes } from 'node:crypto';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import type { Pool } from 'pg';
import type { ExportedKey, IssuedKey, Key, RotatedKey, Verdict } from '#contracts';
import { portableDigestOfText } from '#key-core';
import { sendRaw } from '../../../../test/support/raw-http.js';
import { createServiceA } from '../testing/service-a.js';
import { ForeignKeys } from './foreign-keys.js';
import { createLocalPool } from './local-database.js';
import { LocalPeppers } from './local-peppers.js';
import { LocalVerifier } from './local-verifier.js';
import { takeOver } from './take-over.js';
import { startLocalService, type LocalService, type Told } from './testing.js';

let service: LocalService;
let verifier: string;
beforeAll(async () => {
  service = await startLocalService({
    SERVICE_A_KEY_POLICY: JSON.stringify({ keyPrefix: 'own', maxLifetimeSeconds: 1_000_000 }),
  });
  const claims = { sub: 'svc', client_id: 'svc', scope: 'keys:verify', roles: [] };
  verifier = await service.around.token(claims);
});
afterAll(() => service?.stop());

const provision = async (over: object = {}): Promise<IssuedKey> => {
  const body = {
    name: 'job',
    consumer: 'service-b',
    scopes: ['reports:read'],
    expiresInSeconds: 600,
    ...over,
  };
  const answer = await service.call('/v1/api-keys', { token: service.admin, body });
  expect(answer.status).toBe(201);
  return answer.body as unknown as IssuedKey;
};
const post = (path: string, body: object, token = service.admin) =>
  service.call(path, { token, body });
const reports = (key: string) => service.call('/v1/reports', { headers: { 'x-api-key': key } });
const verify = async (body: object): Promise<Verdict> =>
  (await post('/v1/keys/verify', body, verifier)).body as unknown as Verdict;
const told = ({ status, body }: Told) => [status, body['code']];
/** Its store, as another process has it. */
const withStore = async <T>(
  work: (store: { pool: Pool; peppers: LocalPeppers }) => Promise<T>,
): Promise<T> => {
  const pool = createLocalPool(service.env['SERVICE_A_DATABASE_URL']!);
  const secret = Buffer.from(service.env['SERVICE_A_KEY_SECRET']!, 'base64');
  try {
    return await work({ pool, peppers: new LocalPeppers(pool, secret) });
  } finally {
    await pool.end();
  }
};
const sql = <T extends Record<string, unknown>>(text: string) => service.postgres.query<T>(text);

describe('a service that manages its own keys', () => {
  it('issues, opens, rotates and revokes them, and asks the key service nothing', async () => {
    const { key, secret } = await provision();
    expect(secret).toMatch(/^own_live_/);
    expect(key).toMatchObject({ status: 'active', origin: 'issued', createdBy: 'usr_admin' });
    expect((await reports(secret)).status).toBe(200);
    const rotated = (await post(`/v1/api-keys/${key.id}/rotate`, { overlapSeconds: 60 }))
      .body as unknown as RotatedKey;
    const old = await reports(secret);
    expect([old.status, old.headers.has('sunset')]).toEqual([200, true]);
    const [next] = await sql<{ since: string }>(
      `SELECT floor(extract(epoch FROM created_at)) AS since FROM service_a.secret WHERE key_id = '${key.id}' AND number = 2`,
    );
    expect(old.headers.get('deprecation')).toBe(`@${next!.since}`);
    expect((await reports(rotated.secret)).status).toBe(200);
    const again = await post(`/v1/api-keys/${key.id}/rotate`, {});
    expect(told(again)).toEqual([409, 'CONFLICT']);
    const { validUntil } = rotated.previous;
    expect(again.body['detail']).toContain(`goes on until ${validUntil}; rotate after it`);
    const { data } = (await service.call('/v1/api-keys?limit=1', { token: service.admin }))
      .body as unknown as { data: Key[] };
    expect(data.map((one) => one.id)).toEqual([key.id]);
    expect((await post(`/v1/api-keys/${key.id}/revoke`, { reason: 'retired' })).body).toMatchObject(
      {
        key: { status: 'revoked', revocationReason: 'retired' },
        propagation: { confirmed: true },
      },
    );
    for (const one of [secret, rotated.secret])
      expect(told(await reports(one))).toEqual([403, 'API_KEY_REVOKED']);
    expect(service.around.keyService.seen).toEqual([]);
    const events = await sql<{ action: string; actor: string }>(
      `SELECT action, actor FROM service_a.event WHERE key_id = '${key.id}' ORDER BY seq`,
    );
    expect(events.map((one) => one.action)).toEqual(['key.created', 'key.rotated', 'key.revoked']);
    expect(new Set(events.map((one) => one.actor))).toEqual(new Set(['usr_admin']));
  });

  it('has a policy of its own', async () => {
    const body = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
    const long = await post('/v1/api-keys', { ...body, expiresInSeconds: 2_000_000 });
    expect(told(long)).toEqual([400, 'POLICY_VIOLATION']);
    const delivered = { ...body, deliverTo: { provider: 'file', name: 'x' } };
    expect((await post('/v1/api-keys', delivered)).status).toBe(400);
  });

  it('grants the scopes that its routes require, wildcards above them too, and no others', async () => {
    const body = { name: 'job', consumer: 'service-b', expiresInSeconds: 600 };
    const grant = (scopes: string[]) => post('/v1/api-keys', { ...body, scopes });
    expect((await grant(['reports:write', 'reports:*'])).status).toBe(201);
    expect((await grant(['reports:read', 'report:read'])).body).toMatchObject({
      code: 'POLICY_VIOLATION',
      errors: [{ pointer: '/scopes/1', detail: expect.stringContaining('reports:read') }],
    });
  });

  it('grants those that its policy names instead', async () => {
    const policy = JSON.stringify({ grantableScopes: ['archive:read'] });
    const app = await createServiceA({ ...service.env, SERVICE_A_KEY_POLICY: policy });
    try {
      await app.listen(0, '127.0.0.1');
      const url = `${await app.getUrl()}/v1/api-keys`;
      const grant = async (scope: string) => {
        const headers = {
          authorization: `Bearer ${service.admin}`,
          'content-type': 'application/json',
        };
        const body = JSON.stringify({ name: 'job', consumer: 'service-b', scopes: [scope] });
        return (await fetch(url, { method: 'POST', headers, body })).status;
      };
      expect([await grant('archive:read'), await grant('reports:read')]).toEqual([201, 400]);
    } finally {
      await app.close();
    }
  });

  it('makes no key that its policy wants a list of addresses of', async () => {
    const policy = { keyPrefix: 'own', ipAllowlistRequired: true };
    const app = await createServiceA({
      ...service.env,
      SERVICE_A_KEY_POLICY: JSON.stringify(policy),
    });
    try {
      await app.listen(0, '127.0.0.1');
      const answer = await fetch(`${await app.getUrl()}/v1/api-keys`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${service.admin}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ name: 'job', consumer: 'service-b', scopes: ['reports:read'] }),
      });
      expect([answer.status, await answer.json()]).toMatchObject([
        400,
        { code: 'POLICY_VIOLATION', errors: [{ pointer: '/ipAllowlist' }] },
      ]);
    } finally {
      await app.close();
    }
  });

  it('limits the rate of each key', async () => {
    const rateLimits = [{ name: 'slow', limit: 2, windowSeconds: 3_600 }];
    const { secret } = await provision({ rateLimits });
    const answers = [await reports(secret), await reports(secret), await reports(secret)];
    expect(answers.map((one) => one.status)).toEqual([200, 200, 429]);
    expect(answers[2]!.headers.get('retry-after')).not.toBeNull();
  });

  it('takes as many units as a question says', async () => {
    const rateLimits = [{ name: 'slow', limit: 3, windowSeconds: 3_600 }];
    const { secret: key } = await provision({ rateLimits });
    const verdicts = [];
    for (const cost of [4, 2, 2, 1]) verdicts.push(await verify({ key, cost }));
    expect(verdicts).toMatchObject([
      { code: 'RATE_LIMITED', costExceedsLimit: true },
      { code: 'VALID' },
      { code: 'RATE_LIMITED', retryAfterSeconds: 1_200 },
      { code: 'VALID' },
    ]);
    expect(verdicts[0]).not.toHaveProperty('retryAfterSeconds');
  });

  it('rotates the version that If-Match names', async () => {
    const { key } = await provision();
    const rotate = (headers: object) =>
      service.call(`/v1/api-keys/${key.id}/rotate`, { token: service.admin, body: {}, headers });
    expect(told(await rotate({ 'if-match': '"7"' }))).toEqual([412, 'VERSION_MISMATCH']);
    const rotated = await rotate({ 'if-match': '"1"' });
    expect([rotated.status, rotated.headers.get('etag')]).toEqual([200, '"2"']);
  });

  it('does what comes under one Idempotency-Key once, however many send it at the same time', async () => {
    const job = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
    const send = (path: string, body: object, once: string, token = service.admin) =>
      service.call(path, { token, body, headers: { 'idempotency-key': once } });
    const replayed = (one: Told) => one.headers.get('idempotency-replayed');
    const made = await Promise.all([1, 2, 3, 4].map(() => send('/v1/api-keys', job, 'make-1')));
    for (const one of made) expect([one.status, one.body]).toEqual([201, made[0]!.body]);
    expect(made.filter((one) => replayed(one) === 'true')).toHaveLength(3);
    const { id } = made[0]!.body['key'] as { id: string };
    const rotate = () => send(`/v1/api-keys/${id}/rotate`, {}, 'rotate-1');
    const [first, second] = [await rotate(), await rotate()];
    expect([second.status, second.body]).toEqual([200, first.body]);
    expect([replayed(first), replayed(second)]).toEqual([null, 'true']);
    expect(told(await send('/v1/api-keys', { ...job, name: 'x' }, 'make-1'))).toEqual([
      ...[422, 'IDEMPOTENCY_KEY_REUSED'],
    ]);
    const other = await service.around.token({ sub: 'usr_other', roles: ['admin'] });
    const theirs = await send('/v1/api-keys', job, 'make-1', other);
    expect([theirs.status, replayed(theirs)]).toEqual([201, null]);
    expect(told(await send('/v1/api-keys', job, 'not a key'))).toEqual([400, 'INVALID_HEADER']);
  });

  it('repeats no secret after 10 minutes, and keeps none that can be read', async () => {
    const body = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
    const headers = { 'idempotency-key': 'late-1' };
    const send = () => service.call('/v1/api-keys', { token: service.admin, body, headers });
    const first = await send();
    const [kept] = await sql(`SELECT * FROM service_a.idempotency WHERE sent_under = 'late-1'`);
    const secret = first.body['secret'] as string;
    expect(JSON.stringify(kept)).not.toContain(secret);
    expect((kept!['sealed_secret'] as Buffer).includes(secret)).toBe(false);
    await sql(`UPDATE service_a.idempotency SET secret_until = now() WHERE sent_under = 'late-1'`);
    const { secret: _, ...rest } = first.body;
    expect((await send()).body).toEqual(rest);
  });

  it('takes out at the start of a process what was sealed more than 10 minutes ago, whether or not another key is made', async () => {
    const body = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
    for (const once of ['past-1', 'young-1'])
      await service.call('/v1/api-keys', {
        ...{ token: service.admin, body, headers: { 'idempotency-key': once } },
      });
    await sql(`UPDATE service_a.idempotency SET secret_until = now() WHERE sent_under = 'past-1'`);
    const beside = await createServiceA(service.env);
    await beside.close();
    const kept = await sql(
      `SELECT sent_under, sealed_secret IS NULL AS gone FROM service_a.idempotency
       WHERE sent_under IN ('past-1', 'young-1') ORDER BY sent_under`,
    );
    expect(kept).toEqual([
      { sent_under: 'past-1', gone: true },
      { sent_under: 'young-1', gone: false },
    ]);
  });

  it('describes itself, its validation endpoint too', async () => {
    const { body } = await service.call('/openapi.json');
    expect(body['paths']).toHaveProperty(['/v1/keys/verify', 'post']);
  });

  it('lets only admins manage them', async () => {
    const body = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
    const user = await service.around.token({ roles: ['user'] });
    const other = await service.around.token({ roles: ['admin'], services: ['service-x'] });
    expect((await service.call('/v1/api-keys', { body })).status).toBe(401);
    for (const token of [user, other])
      expect((await post('/v1/api-keys', body, token)).status).toBe(403);
  });

  it('keeps digests that are of no use without its secret', async () => {
    const { key, secret } = await provision();
    const tables = ['key', 'secret', 'event', 'pepper'];
    for (const table of tables) {
      const rows = await sql<{ row: string }>(`SELECT t::text AS row FROM service_a.${table} t`);
      expect(rows.some(({ row }) => row.includes(secret))).toBe(false);
    }
    const planted = createHash('sha256').update(secret).digest('hex');
    await sql(
      `UPDATE service_a.secret SET digest = decode('${planted}', 'hex') WHERE key_id = '${key.id}'`,
    );
    expect(told(await reports(secret))).toEqual([403, 'API_KEY_INVALID']);
  });

  it('answers 503 while its database is away, never that the key is bad', async () => {
    const { secret } = await provision();
    await service.postgres.stop();
    try {
      const answer = await reports(secret);
      expect(told(answer)).toEqual([503, 'VERIFICATION_UNAVAILABLE']);
      expect(answer.headers.get('retry-after')).toBe('1');
    } finally {
      await service.postgres.start();
    }
    expect((await reports(secret)).status).toBe(200);
  });
});

describe('a service of the test environment', () => {
  it('issues keys of its own environment, which open it', async () => {
    const test = await startLocalService({ SERVICE_A_ENVIRONMENT: 'test' });
    try {
      const body = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
      const made = await test.call('/v1/api-keys', { token: test.admin, body });
      expect(made.body).toMatchObject({ key: { environment: 'test' } });
      const secret = made.body['secret'] as string;
      expect(secret).toMatch(/^kw_test_/);
      const headers = { 'x-api-key': secret };
      expect((await test.call('/v1/reports', { headers })).status).toBe(200);
    } finally {
      await test.stop();
    }
  });
});

describe('what it takes over', () => {
  const pepper = randomBytes(32);
  const foreign = 'old_7f3a9c51d2e84b60';
  const exported = (over: Partial<ExportedKey> = {}): ExportedKey => ({
    ...{ type: 'key', id: `key_${randomBytes(8).toString('hex')}`, name: 'from there' },
    ...{ consumer: 'service-b', environment: 'live', scopes: ['reports:read'], enabled: true },
    ...{ notBefore: null, expiresAt: null, rateLimits: [], quota: null, ipAllowlist: [] },
    ...{ tags: [], metadata: {}, createdAt: new Date().toISOString(), secrets: [] },
    ...over,
  });
  const secretOf = (text: string | null): ExportedKey['secrets'][number] => ({
    ...{ number: 1, createdAt: new Date().toISOString(), validUntil: null },
    digest: text === null ? null : portableDigestOfText(pepper, text).toString('base64url'),
    ...{ prefix: 'old', last4: '4b60' },
  });
  const take = (...keys: ExportedKey[]) =>
    withStore((store) => takeOver(store, { header: {} as never, keys, pepper }));

  /** A service that runs notices within a second that keys were taken over. */
  const untilOpen = async (text: string) => {
    while ((await reports(text)).status !== 200) await new Promise((go) => setTimeout(go, 50));
  };

  it('opens by its old text, of whatever form', async () => {
    await take(exported({ secrets: [secretOf(foreign)] }));
    await untilOpen(foreign);
    expect(told(await reports(`${foreign}0`))).toEqual([403, 'API_KEY_INVALID']);
  });

  it('ends with its key there: gone from a later export, it is revoked here', async () => {
    const [kept, gone] = [exported(), exported({ secrets: [secretOf('gone_0123456789')] })];
    await take(kept, gone);
    await untilOpen('gone_0123456789');
    expect((await take(kept)).ended).toBeGreaterThan(0);
    expect(told(await reports('gone_0123456789'))).toEqual([403, 'API_KEY_REVOKED']);
  });

  it('keeps the secrets that are here where the export does not know one', async () => {
    const { key, secret } = await provision();
    const rotated = (await post(`/v1/api-keys/${key.id}/rotate`, { overlapSeconds: 0 }))
      .body as unknown as RotatedKey;
    expect((await take(exported({ id: key.id, secrets: [secretOf(null)] }))).unknown).toEqual([]);
    expect((await reports(rotated.secret)).status).toBe(200);
    expect((await reports(secret)).status).toBe(403);
  });

  it('of a key that is here is shown by the hint of the secret that it has now', async () => {
    const { key } = await provision();
    await take(exported({ id: key.id, secrets: [secretOf('old_of_another_text_4b60')] }));
    const { data } = (await service.call('/v1/api-keys?limit=200', { token: service.admin }))
      .body as unknown as { data: Key[] };
    const hint = data.find((one) => one.id === key.id)?.hint;
    expect(hint).toEqual({ prefix: 'old', last4: '4b60' });
  });

  it('lists and revokes a key of which nobody has a digest', async () => {
    const lost = exported({ secrets: [secretOf(null)] });
    expect((await take(lost)).unknown).toEqual([lost.id]);
    const list = await service.call('/v1/api-keys?limit=200', { token: service.admin });
    expect(list.status).toBe(200);
    const revoked = await post(`/v1/api-keys/${lost.id}/revoke`, { reason: 'lost' });
    expect(revoked.body).toMatchObject({ key: { status: 'revoked' } });
  });

  it('is of no use with another secret: that one stops the start, by its name', async () => {
    const other = { ...service.env, SERVICE_A_KEY_SECRET: randomBytes(32).toString('base64') };
    await expect(createServiceA(other)).rejects.toThrow('SERVICE_A_KEY_SECRET is not the one');
  });
});

describe('what is presented to it', () => {
  let good: IssuedKey;
  beforeAll(async () => {
    good = await provision();
  });

  it('without a key is 401 and says what to send', async () => {
    for (const headers of [{}, { 'x-api-key': '' }, { 'x-api-key': '  ' }]) {
      const answer = await service.call('/v1/reports', { headers });
      expect(told(answer)).toEqual([401, 'API_KEY_MISSING']);
      expect(answer.headers.get('www-authenticate')).toBe('ApiKey');
    }
  });

  it('twice, or beside another credential, is 400', async () => {
    const [x, bad] = [['x-api-key', good.secret] as const, ['x-api-key', 'bad'] as const];
    const bearer = ['authorization', `Bearer ${service.admin}`] as const;
    for (const headers of [
      [x, bad],
      [bad, x],
      [x, x],
      [x, bearer],
    ]) {
      const answer = await sendRaw(service.url, { method: 'GET', path: '/v1/reports', headers });
      expect(answer.status).toBe(400);
    }
  });

  it('elsewhere than in the header is refused', async () => {
    for (const path of [`/v1/reports?key=${good.secret}`, `/v1/reports?x-api-key=${good.secret}`])
      expect([400, 401]).toContain((await service.call(path)).status);
    const cookie = { cookie: `x-api-key=${good.secret}` };
    expect([400, 401]).toContain((await service.call('/v1/reports', { headers: cookie })).status);
  });

  it('cut, lengthened, doubled or misspelt is one and the same refusal', async () => {
    const { secret } = good;
    const cuts = Array.from({ length: secret.length - 1 }, (_, i) => secret.slice(0, i + 1));
    const odd = [
      `${secret}x`,
      secret + secret,
      secret.toUpperCase(),
      'k'.repeat(129),
      'k'.repeat(8_000),
    ];
    const wrong = secret.slice(0, 30) + (secret[30] === 'a' ? 'b' : 'a') + secret.slice(31);
    const bodies = new Set<string>();
    for (const one of [...cuts, ...odd, wrong]) {
      const answer = await reports(one);
      expect(told(answer)).toEqual([403, 'API_KEY_INVALID']);
      const { requestId: _, ...body } = answer.body;
      bodies.add(JSON.stringify(body));
    }
    expect(bodies.size).toBe(1);
  });

  it('is decided on by what is asked, each time', async () => {
    const key = good.secret;
    const codes = [];
    for (const asked of [
      {},
      { scopes: ['reports:write'] },
      { environment: 'test' },
      { scopes: { anyOf: ['reports:write', 'reports:read'] } },
    ])
      codes.push((await verify({ key, ...asked })).code);
    expect(codes).toEqual(['VALID', 'INSUFFICIENT_SCOPE', 'WRONG_ENVIRONMENT', 'VALID']);
    expect(told(await post('/v1/keys/verify', { key, service: 'service-x' }, verifier))).toEqual([
      403,
      'FORBIDDEN',
    ]);
  });

  it('of the other environment does not open the reports', async () => {
    const { key, secret } = await provision();
    await sql(`UPDATE service_a.key SET environment = 'test' WHERE id = '${key.id}'`);
    expect(told(await reports(secret))).toEqual([403, 'WRONG_ENVIRONMENT']);
    expect((await verify({ key: secret, environment: 'test' })).code).toBe('VALID');
  });

  it('from elsewhere than its list is refused, a mapped address counted as its IPv4', async () => {
    const { key, secret } = await provision();
    await sql(`UPDATE service_a.key SET ip_allowlist = '{10.0.0.0/8}' WHERE id = '${key.id}'`);
    const codeFrom = async (clientIp: string) => (await verify({ key: secret, clientIp })).code;
    await expect(codeFrom('10.1.2.3')).resolves.toBe('VALID');
    await expect(codeFrom('::ffff:10.1.2.3')).resolves.toBe('VALID');
    await expect(codeFrom('192.0.2.1')).resolves.toBe('IP_NOT_ALLOWED');
    const forged = { 'x-api-key': secret, 'x-forwarded-for': '10.1.2.3' };
    expect((await service.call('/v1/reports', { headers: forged })).status).toBe(403);
  });

  it('larger than 16 KiB is 431, and with bytes that no key has 400', async () => {
    const send = (key: string) =>
      sendRaw(service.url, { method: 'GET', path: '/v1/reports', headers: [['x-api-key', key]] });
    const large = await send('k'.repeat(20_000));
    expect([large.status, large.text]).toEqual([
      431,
      expect.stringContaining('"HEADERS_TOO_LARGE"'),
    ]);
    const { secret } = good;
    for (const key of [`${secret}\x80`, `\xff${secret.slice(1)}`, '\xe9'.repeat(84)]) {
      const answer = await send(key);
      expect([answer.status, answer.text]).toEqual([
        400,
        expect.stringContaining('"INVALID_HEADER"'),
      ]);
    }
  });

  it('begins and ends at the very millisecond, and is waited for by nobody', async () => {
    const { key, secret } = await provision();
    const between = (begin: number, end: number) =>
      sql(`UPDATE service_a.key SET not_before = '${new Date(begin).toISOString()}',
        expires_at = '${new Date(end).toISOString()}' WHERE id = '${key.id}'`);
    const wanted = (begin: number, end: number, at: number) =>
      at < begin ? 'NOT_YET_VALID' : at < end ? 'VALID' : 'EXPIRED';
    const [begin, end] = [Date.now() + 200, Date.now() + 400];
    await between(begin, end);
    for (let code = ''; code !== 'EXPIRED';) {
      const verdict = await verify({ key: secret });
      ({ code } = verdict);
      expect(code).toBe(wanted(begin, end, Date.parse(verdict.decision.asOf)));
    }
    await withStore(async (store) => {
      const times = [begin - 1, begin, end - 1, end];
      for (const at of times) {
        const parts = { ...store, now: () => at };
        const verdict = await new LocalVerifier(parts, new ForeignKeys(parts)).verify({
          key: secret,
        });
        expect(verdict.code).toBe(wanted(begin, end, at));
      }
    });
  });

  it('is told of in the fields that are known, and asked about by services alone', async () => {
    const { decision, ...verdict } = await verify({ key: good.secret });
    const { key } = good;
    expect(verdict).toEqual({
      ...{ valid: true, code: 'VALID', keyId: key.id, secretNumber: 1, consumer: 'service-b' },
      ...{ environment: 'live', scopes: ['reports:read'], expiresAt: key.expiresAt, metadata: {} },
    });
    expect(decision).toMatchObject({ source: 'store', ttlSeconds: 0, version: 1 });
    const unknown = await verify({ key: 'junk' });
    expect(Object.keys(unknown)).toEqual(['valid', 'code', 'decision']);
    expect(unknown.decision).toMatchObject({ source: 'cache', version: 0 });
    const body = { key: good.secret };
    expect((await service.call('/v1/keys/verify', { body })).status).toBe(401);
    expect((await post('/v1/keys/verify', body)).status).toBe(403);
    expect((await post('/v1/keys/verify', body, good.secret)).status).toBe(401);
    expect((await post('/v1/keys/verify', { id: null }, verifier)).status).toBe(400);
  });
});

/** The way to the database, which counts the connections that it was asked for, and those that are open. */
const startCountedWay = async () => {
  const direct = new URL(service.env['SERVICE_A_DATABASE_URL']!);
  const count = { asked: 0, open: 0 };
  const way = createServer((from) => {
    const to = createConnection(Number(direct.port), direct.hostname);
    count.asked += 1;
    count.open += 1;
    from.on('error', () => to.destroy()).on('close', () => (count.open -= 1));
    to.on('error', () => from.destroy());
    from.pipe(to).pipe(from);
  });
  await new Promise<void>((resolve) => way.listen(0, '127.0.0.1', resolve));
  const url = new URL(direct);
  url.port = String((way.address() as AddressInfo).port);
  return { url: url.href, count, close: () => way.close() };
};

describe('in mode central', () => {
  it('its database is looked at once, at the start, and asked by no request; there is no validation endpoint', async () => {
    const way = await startCountedWay();
    const env = { ...service.env, SERVICE_A_DATABASE_URL: way.url };
    const app = await createServiceA({ ...env, SERVICE_A_KEYS: 'central' });
    try {
      await app.listen(0, '127.0.0.1');
      const { port } = app.getHttpServer().address() as AddressInfo;
      const pathsOf = async (url: string): Promise<string[]> => {
        const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: object };
        return Object.keys(paths);
      };
      const central = `http://127.0.0.1:${port}`;
      expect(await pathsOf(service.url)).toContain('/v1/keys/verify');
      expect(await pathsOf(central)).not.toContain('/v1/keys/verify');
      while (way.count.asked === 0 || way.count.open > 0) await new Promise(setImmediate);
      const { secret } = await provision();
      for (const key of [secret, 'junk'])
        await fetch(`${central}/v1/reports`, { headers: { 'x-api-key': key } });
      expect(way.count).toEqual({ asked: 1, open: 0 });
      // one in mode local takes the same way
      const local = await createServiceA(env);
      expect(way.count.open).toBeGreaterThan(0);
      await local.close();
    } finally {
      await app.close();
      way.close();
    }
  });

  it('what another mode needs is named where it is missing, and nothing starts', async () => {
    const { SERVICE_A_DATABASE_URL: _, ...env } = service.env;
    await expect(createServiceA(env)).rejects.toThrow('SERVICE_A_DATABASE_URL');
    const { KEY_SERVICE_URL: __, ...dual } = service.env;
    await expect(createServiceA({ ...dual, SERVICE_A_KEYS: 'dual' })).rejects.toThrow(
      'KEY_SERVICE_URL',
    );
  });
});
