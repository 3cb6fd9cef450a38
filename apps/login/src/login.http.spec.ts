import { readFileSync, readdirSync } from 'node:fs';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import type { IssuedClient, TokenPair, User } from '#contracts';
import {
  ADMIN,
  CLIENT,
  ISSUER,
  createLoginLab,
  type Answer,
  type LoginLab,
  type LoginServer,
} from './testing/login-server.js';

const GOOD_PASSWORD = 'seven green bottles on a wall';
let lab: LoginLab;
let login: LoginServer;
let admin: TokenPair;
let number = 0;

beforeAll(async () => {
  lab = await createLoginLab();
  login = await lab.start();
  admin = await logIn(ADMIN);
});
afterAll(() => lab.close());

const post = (path: string, body?: unknown, token?: string): Promise<Answer> =>
  login.call('POST', path, { body, ...(token !== undefined && { token }) });
const asAdmin = (method: string, path: string, body?: unknown): Promise<Answer> =>
  login.call(method, path, { body, token: admin.accessToken });
const codeOf = ({ status, body }: Answer) => [status, (body as { code?: string } | null)?.code];

async function logIn(credentials: { username: string; password: string }): Promise<TokenPair> {
  const answer = await post('/v1/login', credentials);
  expect(codeOf(answer)).toEqual([200, undefined]);
  return answer.body as TokenPair;
}

/** A new user of their own for a test. */
async function newUser(more: object = {}) {
  number += 1;
  const credentials = { username: `person-${number}`, password: GOOD_PASSWORD };
  const answer = await asAdmin('POST', '/v1/users', { ...credentials, ...more });
  expect(codeOf(answer)).toEqual([201, undefined]);
  return { ...credentials, user: answer.body as User, tokens: await logIn(credentials) };
}

const meOf = ({ accessToken }: TokenPair) => login.call('GET', '/v1/me', { token: accessToken });
const refreshOf = ({ refreshToken }: TokenPair) => post('/v1/token/refresh', { refreshToken });

/** What of an answer may not tell two refusals apart. */
function looksOf({ status, headers, body }: Answer) {
  const { requestId: _, ...rest } = body as { requestId: string };
  return { status, body: rest, headers: [...headers.keys()].toSorted() };
}

describe('tokens', () => {
  test('an access token is an at+jwt of ES256 for every app, good for 10 minutes', async () => {
    const { accessToken, refreshToken, ...rest } = admin;
    expect(rest).toEqual({ tokenType: 'Bearer', expiresIn: 600, refreshExpiresIn: 7 * 86_400 });
    expect(refreshToken).toMatch(/^kwr_[\w-]{43}$/);
    const keys = createRemoteJWKSet(new URL(`${login.url}/.well-known/jwks.json`));
    const { payload, protectedHeader } = await jwtVerify(accessToken, keys, {
      issuer: ISSUER,
      audience: 'service-b',
    });
    const kid = expect.any(String) as string;
    expect(protectedHeader).toEqual({ alg: 'ES256', typ: 'at+jwt', kid });
    expect(payload).toEqual({
      iss: ISSUER,
      aud: ['login', 'key-service', 'service-a', 'service-b'],
      sub: expect.stringMatching(/^usr_\w{16}$/),
      sid: expect.stringMatching(/^ses_\w{16}$/),
      jti: expect.stringMatching(/^[\w-]{22}$/),
      username: 'admin',
      roles: ['admin'],
      iat: payload.iat,
      exp: payload.iat! + 600,
    });
  });

  test('the key set shows public members only and may be cached for 10 s', async () => {
    const answer = await login.call('GET', '/.well-known/jwks.json');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=10');
    const { keys } = answer.body as { keys: object[] };
    expect(keys).toHaveLength(2);
    for (const key of keys)
      expect(Object.keys(key).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  });

  test('the metadata names the token endpoint and the key set', async () => {
    const { body } = await login.call('GET', '/.well-known/oauth-authorization-server');
    expect(body).toMatchObject({
      issuer: ISSUER,
      token_endpoint: `${ISSUER}/oauth2/token`,
      jwks_uri: `${ISSUER}/.well-known/jwks.json`,
    });
  });

  test('malformed credentials in the header are 401, never 5xx', async () => {
    const garbage = ['Bearer', 'Bearer  x', 'bearer x', 'Basic !!!', `Bearer ${'A'.repeat(8_192)}`];
    const more = ['Bearer %%.%%.%%', 'Bearer a.b.c.d', `Bearer ${admin.accessToken}x`];
    for (const authorization of [...garbage, ...more]) {
      const answer = await login.call('GET', '/v1/me', { headers: { authorization } });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    }
  });

  test('a signing key is rolled over only when the next one has been published long enough', async () => {
    const early = await asAdmin('POST', '/v1/signing-keys/rotate');
    expect(codeOf(early)).toEqual([409, 'CONFLICT']);
    await lab.postgres.query(
      `UPDATE login.signing_key SET created_at = created_at - interval '11 minutes'`,
    );
    const before = decodeProtectedHeader(admin.accessToken).kid;
    const { status, body } = await asAdmin('POST', '/v1/signing-keys/rotate');
    expect(status).toBe(200);
    const { kid } = body as { kid: string };
    expect(decodeProtectedHeader((await logIn(ADMIN)).accessToken).kid).toBe(kid);
    const { keys } = (await login.call('GET', '/.well-known/jwks.json')).body as {
      keys: { kid: string }[];
    };
    expect(keys.map((key) => key.kid)).toEqual(expect.arrayContaining([before, kid]));
    expect(keys).toHaveLength(3);
    expect((await meOf(admin)).status).toBe(200);
  });

  test('the private keys are sealed in the database, and another LOGIN_SECRET does not start', async () => {
    const rows = await lab.postgres.query<{ bytes: Buffer }>(
      'SELECT private_sealed AS bytes FROM login.signing_key',
    );
    for (const { bytes } of rows) expect(bytes.toString('latin1')).not.toContain('PRIVATE');
    const other = Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('base64');
    await expect(lab.start({ LOGIN_SECRET: other })).rejects.toThrow('LOGIN_SECRET');
  });
});

describe('passwords', () => {
  test('unknown, wrong, disabled and held are one answer', async () => {
    const { user, username } = await newUser();
    const disabled = await newUser();
    await asAdmin('PATCH', `/v1/users/${disabled.user.id}`, { enabled: false });
    const held = await newUser();
    await lab.postgres.query(
      'UPDATE login.user SET failures = 100, failed_at = now() WHERE id = $1',
      [held.user.id],
    );
    await lab.postgres.query('UPDATE login.session SET ip = $2 WHERE user_id = $1', [
      held.user.id,
      '192.0.2.1',
    ]);
    const broken = await newUser();
    await lab.postgres.query('UPDATE login.user SET password_hash = $2 WHERE id = $1', [
      broken.user.id,
      '$argon2id$v=19$nonsense',
    ]);
    const wrong = await post('/v1/login', { username, password: 'not the right password' });
    expect(codeOf(wrong)).toEqual([401, 'INVALID_CREDENTIALS']);
    const attempts = [
      { username: 'nobody', password: GOOD_PASSWORD },
      { username: 'no such name!', password: GOOD_PASSWORD },
      { username: disabled.username, password: GOOD_PASSWORD },
      { username: held.username, password: GOOD_PASSWORD },
      { username: broken.username, password: GOOD_PASSWORD },
    ];
    for (const attempt of attempts)
      expect(looksOf(await post('/v1/login', attempt))).toEqual(looksOf(wrong));
    expect(login.log()).toContain(`"userId":"${user.id}","reason":"wrong password"`);
  });

  test('a held account lets in the addresses it knows, and an admin frees it', async () => {
    const { user, username, password } = await newUser();
    const hold = () =>
      lab.postgres.query('UPDATE login.user SET failures = 100, failed_at = now() WHERE id = $1', [
        user.id,
      ]);
    await hold();
    await logIn({ username, password });
    await hold();
    await lab.postgres.query(`UPDATE login.session SET ip = '192.0.2.1' WHERE user_id = $1`, [
      user.id,
    ]);
    expect(codeOf(await post('/v1/login', { username, password }))[0]).toBe(401);
    await asAdmin('PATCH', `/v1/users/${user.id}`, { enabled: true });
    await logIn({ username, password });
  });

  test('wrong passwords are counted until a right one', async () => {
    const { user, username, password } = await newUser();
    const failures = async () => {
      const [row] = await lab.postgres.query<{ failures: number }>(
        'SELECT failures FROM login.user WHERE id = $1',
        [user.id],
      );
      return row!.failures;
    };
    await Promise.all([1, 2, 3].map(() => post('/v1/login', { username, password: 'wrong' })));
    while ((await failures()) < 3) await new Promise((resolve) => setTimeout(resolve, 10));
    await logIn({ username, password });
    expect(await failures()).toBe(0);
  });

  test('a new password has 15 to 1,000 characters and is not easy to guess', async () => {
    const create = async (password: string) => {
      number += 1;
      const answer = await asAdmin('POST', '/v1/users', { username: `tester-${number}`, password });
      return answer.status;
    };
    const bad = ['', 'a'.repeat(14), 'a'.repeat(1_001), 'a'.repeat(10_000), '😀'.repeat(8)];
    const guessable = [
      'Password1234567',
      'qwertyuiop12345',
      '123456789012345',
      'P@ssw0rdP@ssw0rd!',
    ];
    const named = [
      `my name is tester-${number + 10}`,
      'the Keyward platform',
      'pa\0ssword of mine',
    ];
    for (const password of [...bad, ...guessable, ...named.slice(1)])
      expect([password.slice(0, 20), await create(password)]).toEqual([password.slice(0, 20), 400]);
    number += 1;
    const own = { username: `tester-${number}`, password: `hello tester-${number} and all` };
    expect((await asAdmin('POST', '/v1/users', own)).status).toBe(400);
    const good = [
      'a'.repeat(15),
      ' spaces are fine ',
      '😀'.repeat(15),
      'x'.repeat(64),
      'y'.repeat(1_000),
    ];
    for (const password of good)
      expect([password.length, await create(password)]).toEqual([password.length, 201]);
  });

  test('a person changes their own password with the old one; other sessions end, this one goes on', async () => {
    const { username, password, tokens } = await newUser();
    const other = await logIn({ username, password });
    const change = (body: object) => post('/v1/me/password', body, tokens.accessToken);
    const fresh = 'eleven pipers in a meadow';
    expect(codeOf(await change({ oldPassword: `${password}x`, password: fresh }))).toEqual([
      401,
      'INVALID_CREDENTIALS',
    ]);
    expect(codeOf(await change({ oldPassword: password, password: 'short' }))).toEqual([
      400,
      'INVALID_REQUEST',
    ]);
    expect(codeOf(await change({ password: fresh }))).toEqual([400, 'INVALID_REQUEST']);
    expect((await meOf(other)).status).toBe(200);
    const at = await Promise.all(
      [fresh, `${fresh} too`].map((one) => change({ oldPassword: password, password: one })),
    );
    // Of two at the same time one is right; the old password is wrong for the other.
    expect(new Set(at.map((answer) => answer.status))).toEqual(new Set([204, 401]));
    expect((await meOf(other)).status).toBe(401);
    expect((await refreshOf(other)).status).toBe(401);
    expect((await meOf(tokens)).status).toBe(200);
    expect((await refreshOf(tokens)).status).toBe(200);
    expect(codeOf(await post('/v1/login', { username, password }))[0]).toBe(401);
    expect(codeOf(await post('/v1/me/password', { oldPassword: fresh, password }))[0]).toBe(401);
    const wrong = await lab.postgres.query<{ failures: number }>(
      `SELECT failures FROM login.user WHERE username = '${username}'`,
    );
    expect(wrong[0]!.failures).toBeGreaterThan(0);
  });

  test('nothing of a long password is cut off', async () => {
    number += 1;
    const username = `long-${number}`;
    const password = 'x'.repeat(72);
    await asAdmin('POST', '/v1/users', { username, password: `${password}-tail one` });
    expect((await post('/v1/login', { username, password: `${password}-tail two` })).status).toBe(
      401,
    );
    expect((await post('/v1/login', { username, password })).status).toBe(401);
    await logIn({ username, password: `${password}-tail one` });
  });

  test('one visible password or user name is one, however its characters are composed', async () => {
    number += 1;
    const username = `norm-${number}`;
    await asAdmin('POST', '/v1/users', {
      username,
      password: 'cr\u00e8me br\u00fbl\u00e9e \ufb01ne',
    });
    await logIn({ username, password: 'cre\u0300me bru\u0302le\u0301e fine' });
    await logIn({ username: username.toUpperCase(), password: 'cr\u00e8me br\u00fbl\u00e9e fine' });
    const twin = Array.from(username, (sign) =>
      /[a-z]/.test(sign) ? String.fromCodePoint(sign.charCodeAt(0) + 0xff21 - 0x41) : sign,
    ).join('');
    const again = await asAdmin('POST', '/v1/users', { username: twin, password: GOOD_PASSWORD });
    expect(codeOf(again)).toEqual([409, 'ALREADY_EXISTS']);
  });

  test('what is stored is argon2id with its parameters and a salt, and a cheaper hash is replaced at the next login', async () => {
    const { user, username, password } = await newUser();
    const hashOf = async () => {
      const [row] = await lab.postgres.query<{ hash: string }>(
        'SELECT password_hash AS hash FROM login.user WHERE id = $1',
        [user.id],
      );
      return row!.hash;
    };
    const today =
      /^\$argon2id\$v=19\$m=19456,(?:t=2,p=1|p=1,t=2)\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/;
    expect(await hashOf()).toMatch(today);
    const { default: argon2 } = await import('argon2');
    const cheap = await argon2.hash(password, { memoryCost: 8_192, timeCost: 1, parallelism: 1 });
    await lab.postgres.query('UPDATE login.user SET password_hash = $2 WHERE id = $1', [
      user.id,
      cheap,
    ]);
    await logIn({ username, password });
    expect(await hashOf()).toMatch(today);
    await logIn({ username, password });
  });

  test('a login body that is not one is a 400 problem', async () => {
    const bodies = [null, [], 'x', 1, {}, { username: 'a' }, { username: 1, password: 2 }];
    const more = [
      { ...ADMIN, extra: true },
      { username: 'a', password: 'b'.repeat(1_001) },
      { username: 'a\0', password: 'b' },
      { username: 'a', password: '\ud800' },
      { username: { $ne: null }, password: 'b' },
    ];
    for (const body of [...bodies, ...more]) {
      const answer = await post('/v1/login', body);
      expect(answer.status).toBe(400);
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(answer.text).not.toContain(ADMIN.password);
    }
    const form = new URLSearchParams({ ...ADMIN });
    expect(codeOf(await post('/v1/login', form))).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
  });
});

describe('sessions', () => {
  test('a refresh token works once; using it again ends the whole session', async () => {
    const { tokens } = await newUser();
    const first = await refreshOf(tokens);
    expect(first.status).toBe(200);
    const second = first.body as TokenPair;
    expect(second.refreshToken).not.toBe(tokens.refreshToken);
    expect(decodeJwt(second.accessToken)['sid']).toBe(decodeJwt(tokens.accessToken)['sid']);
    expect((await meOf(second)).status).toBe(200);
    expect(codeOf(await refreshOf(tokens))).toEqual([401, 'INVALID_TOKEN']);
    expect(codeOf(await refreshOf(second))).toEqual([401, 'INVALID_TOKEN']);
    expect(codeOf(await meOf(second))).toEqual([401, 'INVALID_TOKEN']);
    expect(login.log()).toContain('"event":"session.reuse"');
  });

  test('of 20 uses at the same time one is answered, and no branch lives on', async () => {
    const { tokens } = await newUser();
    const answers = await Promise.all(Array.from({ length: 20 }, () => refreshOf(tokens)));
    const good = answers.filter((one) => one.status === 200);
    expect(good).toHaveLength(1);
    expect(answers.filter((one) => one.status === 401)).toHaveLength(19);
    expect((await refreshOf(good[0]!.body as TokenPair)).status).toBe(401);
  });

  test('a session ends 30 days after its login at the latest, and after 7 idle days', async () => {
    const daily = await newUser();
    await lab.postgres.query(
      `UPDATE login.session SET expires_at = now() + interval '90 seconds' WHERE user_id = $1`,
      [daily.user.id],
    );
    const last = (await refreshOf(daily.tokens)).body as TokenPair;
    expect(last.refreshExpiresIn).toBeLessThanOrEqual(90);
    await lab.postgres.query(
      `UPDATE login.session SET expires_at = now() - interval '1 second' WHERE user_id = $1`,
      [daily.user.id],
    );
    expect((await refreshOf(last)).status).toBe(401);
    const idle = await newUser();
    await lab.postgres.query(
      `UPDATE login.refresh_token t SET expires_at = now() - interval '1 second'
       FROM login.session s WHERE s.id = t.session_id AND s.user_id = $1`,
      [idle.user.id],
    );
    expect((await refreshOf(idle.tokens)).status).toBe(401);
    expect((await meOf(idle.tokens)).status).toBe(200);
  });

  test('logging out ends one session, logging out of all ends every one, both at once', async () => {
    const { tokens, username, password } = await newUser();
    const credentials = { username, password };
    const other = await logIn(credentials);
    const answer = await post('/v1/logout', { refreshToken: tokens.refreshToken });
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect((await refreshOf(tokens)).status).toBe(401);
    expect((await meOf(tokens)).status).toBe(401);
    expect((await meOf(other)).status).toBe(200);
    const third = await logIn(credentials);
    expect((await post('/v1/logout-all', undefined, other.accessToken)).status).toBe(204);
    for (const one of [other, third]) expect((await meOf(one)).status).toBe(401);
    expect((await post('/v1/logout', { refreshToken: 'kwr_unknown' })).status).toBe(204);
  });

  test.each([
    ['a new password', 'password', { password: 'another fine sentence' }],
    ['an admin', 'sessions/revoke', undefined],
  ])('%s ends every session', async (_, path, body) => {
    const { user, tokens } = await newUser();
    const answer = await asAdmin('POST', `/v1/users/${user.id}/${path}`, body);
    expect(answer.status).toBe(204);
    expect((await meOf(tokens)).status).toBe(401);
    expect((await refreshOf(tokens)).status).toBe(401);
  });

  test.each([{ enabled: false }, { roles: ['auditor'] }, { services: ['service-a'] }])(
    'a change to %j ends every session',
    async (change) => {
      const { user, tokens } = await newUser({ roles: ['admin'] });
      expect((await asAdmin('PATCH', `/v1/users/${user.id}`, change)).status).toBe(200);
      expect((await meOf(tokens)).status).toBe(401);
      expect((await refreshOf(tokens)).status).toBe(401);
    },
  );

  test('refresh tokens, client secrets and passwords are nowhere in the database or the log', async () => {
    const { tokens, password } = await newUser();
    const tables = ['user', 'session', 'refresh_token', 'client', 'signing_key'];
    const rows = await Promise.all(
      tables.map((name) =>
        lab.postgres.query<{ row: string }>(`SELECT t::text AS row FROM login.${name} t`),
      ),
    );
    const dump =
      rows
        .flat()
        .map((one) => one.row)
        .join('\n') + login.log();
    const secrets = [tokens.refreshToken, CLIENT.clientSecret, password, ADMIN.password];
    for (const secret of [...secrets, tokens.accessToken.split('.')[2]!])
      for (const text of [
        secret,
        Buffer.from(secret).toString('hex'),
        Buffer.from(secret).toString('base64'),
      ])
        expect(dump.includes(text)).toBe(false);
  });
});

describe('users', () => {
  test('a user is created, listed page by page, read with its version and changed on it', async () => {
    const { user } = await newUser({ roles: ['auditor'], services: ['service-a'] });
    expect(user).toEqual({
      id: expect.stringMatching(/^usr_\w{16}$/),
      username: `person-${number}`,
      roles: ['auditor'],
      services: ['service-a'],
      enabled: true,
      createdAt: expect.any(String),
      updatedAt: user.createdAt,
      version: 1,
    });
    const read = await asAdmin('GET', `/v1/users/${user.id}`);
    expect([read.body, read.headers.get('etag')]).toEqual([user, '"1"']);
    const patch = (ifMatch: string) =>
      login.call('PATCH', `/v1/users/${user.id}`, {
        body: { roles: ['user'] },
        token: admin.accessToken,
        headers: { 'if-match': ifMatch },
      });
    const patched = await patch('"1"');
    expect(patched.body).toMatchObject({ roles: ['user'], version: 2 });
    expect(codeOf(await patch('"1"'))).toEqual([412, 'VERSION_MISMATCH']);
    const ids: string[] = [];
    let cursor = '';
    do {
      const { body } = await asAdmin('GET', `/v1/users?limit=2${cursor}`);
      const page = body as { data: User[]; nextCursor: string | null };
      ids.push(...page.data.map((one) => one.id));
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
      expect(page.data.length).toBeLessThanOrEqual(2);
    } while (cursor !== '');
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain(user.id);
  });

  test('a cursor that is not one of the list is refused', async () => {
    const { body } = await asAdmin('GET', '/v1/users?limit=1');
    const { nextCursor } = body as { nextCursor: string };
    for (const cursor of ['1', '', `${nextCursor}x`, nextCursor.replace(/^\d+/, '99'), '%00'])
      expect((await asAdmin('GET', `/v1/users?cursor=${cursor}`)).status).toBe(400);
    const foreign = await asAdmin('GET', `/v1/clients?cursor=${nextCursor}`);
    expect(codeOf(foreign)).toEqual([400, 'INVALID_CURSOR']);
    for (const query of ['limit=0', 'limit=-1', 'limit=201', 'limit=1&limit=2', 'a[b]=c', 'x=1'])
      expect((await asAdmin('GET', `/v1/users?${query}`)).status).toBe(400);
  });

  test('only an admin without limits manages people, accounts and signing keys', async () => {
    const auditor = await newUser({ roles: ['auditor'] });
    const limited = await newUser({ roles: ['admin'], services: ['service-a'] });
    const plain = await newUser();
    const routes = [
      ['POST', '/v1/users'],
      ['GET', '/v1/users'],
      ['GET', `/v1/users/${plain.user.id}`],
      ['PATCH', `/v1/users/${plain.user.id}`],
      ['POST', `/v1/users/${plain.user.id}/password`],
      ['POST', `/v1/users/${plain.user.id}/sessions/revoke`],
      ['POST', '/v1/clients'],
      ['GET', '/v1/clients'],
      ['PATCH', '/v1/clients/service-a'],
      ['DELETE', '/v1/clients/service-a'],
      ['POST', '/v1/clients/service-a/secret'],
      ['POST', '/v1/signing-keys/rotate'],
    ] as const;
    for (const [method, path] of routes) {
      for (const { tokens } of [auditor, limited, plain]) {
        const answer = await login.call(method, path, { token: tokens.accessToken });
        expect([path, ...codeOf(answer)]).toEqual([path, 403, 'FORBIDDEN']);
      }
      expect(codeOf(await login.call(method, path))).toEqual([401, 'UNAUTHENTICATED']);
    }
    expect((await meOf(plain.tokens)).status).toBe(200);
  });

  test('nobody sets what is not theirs to set', async () => {
    const { user } = await newUser();
    const fields = [
      'id',
      'passwordHash',
      'version',
      'createdAt',
      'locked',
      'emailVerified',
      'failures',
    ];
    for (const field of fields) {
      const patched = await asAdmin('PATCH', `/v1/users/${user.id}`, { enabled: true, [field]: 1 });
      expect(patched.status).toBe(400);
    }
    for (const body of [{}, { roles: [] }, { roles: ['root'] }, { roles: ['user', 'user'] }])
      expect((await asAdmin('PATCH', `/v1/users/${user.id}`, body)).status).toBe(400);
    expect((await asAdmin('GET', `/v1/users/${user.id}`)).body).toEqual(user);
  });

  test('the last admin without limits stays one, even when two try to remove each other', async () => {
    const second = await newUser({ roles: ['admin'] });
    const me = (await login.call('GET', '/v1/me', { token: admin.accessToken })).body as User;
    const others = ((await asAdmin('GET', '/v1/users?limit=200')).body as { data: User[] }).data;
    for (const one of others)
      if (one.roles.includes('admin') && ![me.id, second.user.id].includes(one.id))
        await asAdmin('PATCH', `/v1/users/${one.id}`, { enabled: false });
    const demote = (by: TokenPair, id: string) =>
      login.call('PATCH', `/v1/users/${id}`, { body: { enabled: false }, token: by.accessToken });
    const answers = await Promise.all([
      demote(admin, second.user.id),
      demote(second.tokens, me.id),
    ]);
    expect(answers.filter((one) => one.status === 200)).toHaveLength(1);
    const left = await lab.postgres.query(
      `SELECT id FROM login.user WHERE enabled AND 'admin' = ANY (roles) AND services IS NULL`,
    );
    expect(left).toHaveLength(1);
    await lab.postgres.query('UPDATE login.user SET enabled = true WHERE id = $1', [me.id]);
    await lab.postgres.query('UPDATE login.user SET enabled = false WHERE id = $1', [
      second.user.id,
    ]);
    admin = await logIn(ADMIN);
    for (const change of [{ enabled: false }, { roles: ['user'] }, { services: ['service-a'] }])
      expect(codeOf(await asAdmin('PATCH', `/v1/users/${me.id}`, change))).toEqual([
        409,
        'CONFLICT',
      ]);
    expect((await meOf(admin)).status).toBe(200);
  });

  test('what is not there is 404, what is no id is 400', async () => {
    for (const [method, body] of [['GET'], ['PATCH', { enabled: true }]] as const)
      expect(codeOf(await asAdmin(method, `/v1/users/usr_${'0'.repeat(16)}`, body))).toEqual([
        404,
        'NOT_FOUND',
      ]);
    expect((await asAdmin('GET', '/v1/users/1')).status).toBe(400);
    expect(codeOf(await asAdmin('DELETE', '/v1/users'))).toEqual([405, 'METHOD_NOT_ALLOWED']);
  });
});

describe('service accounts', () => {
  const tokenOf = (form: Record<string, string>, basic?: string) =>
    login.call('POST', '/oauth2/token', {
      body: new URLSearchParams(form),
      ...(basic !== undefined && {
        headers: { authorization: `Basic ${Buffer.from(basic).toString('base64')}` },
      }),
    });
  const grant = { grant_type: 'client_credentials' };
  const { clientId, clientSecret } = CLIENT;
  const basic = `${clientId}:${clientSecret}`;
  const posted = { client_id: clientId, client_secret: clientSecret };

  test('an account gets a token of its own by header or form, narrowed as it asks', async () => {
    for (const answer of [await tokenOf(grant, basic), await tokenOf({ ...grant, ...posted })]) {
      expect([answer.status, answer.body]).toEqual([
        200,
        {
          access_token: expect.any(String),
          token_type: 'Bearer',
          expires_in: 600,
          scope: 'keys:verify keys:provision',
        },
      ]);
      expect(answer.headers.get('cache-control')).toBe('no-store');
    }
    const asked = { audience: 'service-b', scope: 'keys:verify', resource: 'ignored' };
    const { body } = await tokenOf({ ...grant, ...asked }, basic);
    const claims = decodeJwt((body as { access_token: string }).access_token);
    expect(claims).toEqual({
      iss: ISSUER,
      sub: 'service-a',
      client_id: 'service-a',
      aud: ['service-b'],
      scope: 'keys:verify',
      iat: claims.iat,
      exp: claims.iat! + 600,
      jti: expect.any(String),
    });
  });

  test('refusals have the shape and codes of RFC 6749', async () => {
    const cases: [Record<string, string>, string | undefined, number, string][] = [
      [{}, basic, 400, 'invalid_request'],
      [{ grant_type: 'password' }, basic, 400, 'unsupported_grant_type'],
      [{ ...grant, scope: 'keys:verify keys:usage' }, basic, 400, 'invalid_scope'],
      [{ ...grant, audience: 'login' }, basic, 400, 'invalid_target'],
      [{ ...grant, ...posted }, basic, 400, 'invalid_request'],
      [grant, undefined, 401, 'invalid_client'],
      [{ ...grant, client_id: clientId }, undefined, 401, 'invalid_client'],
      [grant, `${clientId}:wrong`, 401, 'invalid_client'],
      [grant, `nobody:${clientSecret}`, 401, 'invalid_client'],
      [grant, clientId, 401, 'invalid_client'],
      [grant, '%:%', 401, 'invalid_client'],
      [{ ...grant, ...posted, client_secret: 'x' }, undefined, 401, 'invalid_client'],
    ];
    for (const [form, header, status, error] of cases) {
      const answer = await tokenOf(form, header);
      expect([answer.status, answer.body]).toEqual([
        status,
        { error, error_description: expect.any(String) },
      ]);
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      expect(answer.headers.get('www-authenticate')).toBe(
        status === 401 ? 'Basic realm="keyward"' : null,
      );
    }
  });

  test('a scope that the account was not given is named, with those that it was; a secret in its place is not', async () => {
    const told = async (scope: string) => (await tokenOf({ ...grant, scope }, basic)).body;
    const may = 'it may ask for keys:verify keys:provision';
    expect(await told('keys:verify keys:usage nonsense')).toMatchObject({
      error_description: `The client was not given keys:usage nonsense; ${may}`,
    });
    expect(await told('\u20ac"')).toMatchObject({
      error_description: `The client was not given what it asks for; ${may}`,
    });
    expect(JSON.stringify(await told(clientSecret))).not.toContain(clientSecret);
    const { body } = await tokenOf({ ...grant, audience: 'login' }, basic);
    expect(body).toMatchObject({
      error_description: 'The client was not given login; it may ask for key-service or service-b',
    });
  });

  test.each([
    ['JSON', 415, { body: grant }],
    ['a body that is too long', 413, { body: new URLSearchParams({ x: 'x'.repeat(65_536) }) }],
    ['a field twice', 400, { body: new URLSearchParams('grant_type=a&grant_type=b') }],
    [
      'bad percent-encoding',
      400,
      {
        body: 'grant_type=client_credentials&scope=%ff',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
    ],
    ['NUL', 400, { body: new URLSearchParams('grant_type=%00') }],
    ['a compressed body', 415, { headers: { 'content-encoding': 'gzip' } }],
  ])('%s is refused in the shape of RFC 6749, too', async (_, status, sent) => {
    const answer = await login.call('POST', '/oauth2/token', sent);
    expect([answer.status, answer.body]).toEqual([
      status,
      { error: 'invalid_request', error_description: expect.any(String) },
    ]);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  test('every enabled account is an audience of people and of accounts that were given it', async () => {
    const audiencesOf = async () => {
      const { accessToken } = await logIn(ADMIN);
      return [decodeJwt(accessToken).aud].flat();
    };
    const before = await audiencesOf();
    await asAdmin('POST', '/v1/clients', { clientId: 'ledger' });
    expect(await audiencesOf()).toEqual([...before, 'ledger']);
    const caller = await asAdmin('POST', '/v1/clients', {
      clientId: 'caller',
      audiences: ['ledger', 'caller'],
    });
    expect(caller.status).toBe(201);
    const asCaller = `caller:${(caller.body as IssuedClient).clientSecret}`;
    const { body } = await tokenOf({ ...grant, audience: 'ledger' }, asCaller);
    expect(decodeJwt((body as { access_token: string }).access_token).aud).toEqual(['ledger']);
    const refused = async (audience: string) => {
      const answer = await tokenOf({ ...grant, audience }, asCaller);
      expect([answer.status, answer.body]).toMatchObject([400, { error: 'invalid_target' }]);
    };
    await refused('key-service');
    await refused('nowhere');
    await asAdmin('PATCH', '/v1/clients/ledger', { enabled: false });
    await refused('ledger');
    expect(await audiencesOf()).toEqual([...before, 'caller']);
    const bad = await asAdmin('PATCH', '/v1/clients/caller', { audiences: ['login', 'ledger'] });
    expect(codeOf(bad)).toEqual([400, 'INVALID_REQUEST']);
    expect(bad.body).toMatchObject({ errors: [{ pointer: '/audiences/1' }] });
    await asAdmin('DELETE', '/v1/clients/ledger');
    await asAdmin('DELETE', '/v1/clients/caller');
  });

  test('there are never more accounts enabled than people’s tokens have room for', async () => {
    const made: string[] = [];
    const add = async (clientId: string) => {
      const answer = await asAdmin('POST', '/v1/clients', { clientId });
      if (answer.status === 201) made.push(clientId);
      return answer;
    };
    let last = await add('long-0');
    for (let i = 1; last.status === 201 && i < 100; i += 1) {
      last = await add(`long-${i}-`.padEnd(63, 'x'));
    }
    expect(codeOf(last)).toEqual([409, 'CONFLICT']);
    expect(made.length).toBeGreaterThan(30);
    const { accessToken } = await logIn(ADMIN);
    expect(accessToken.length).toBeLessThan(8_192);
    expect((await login.call('GET', '/v1/me', { token: accessToken })).status).toBe(200);
    await asAdmin('PATCH', '/v1/clients/long-0', { enabled: false });
    await asAdmin('PATCH', `/v1/clients/${made[1]}`, { enabled: false });
    expect((await add('now-there-is-room')).status).toBe(201);
    for (const clientId of made) await asAdmin('DELETE', `/v1/clients/${clientId}`);
  });

  test('an account is changed only in the version that If-Match names', async () => {
    const created = await asAdmin('POST', '/v1/clients', { clientId: 'versioned' });
    expect(created.headers.get('location')).toBe('/v1/clients/versioned');
    expect(created.headers.get('etag')).toBe('"1"');
    const patch = (ifMatch: string, name: string) =>
      login.call('PATCH', '/v1/clients/versioned', {
        body: { name },
        token: admin.accessToken,
        headers: { 'if-match': ifMatch },
      });
    const changed = await patch('"1"', 'first');
    expect([changed.status, changed.headers.get('etag')]).toEqual([200, '"2"']);
    expect(codeOf(await patch('"1"', 'second'))).toEqual([412, 'VERSION_MISMATCH']);
    expect((await patch('*', 'third')).body).toMatchObject({ name: 'third', version: 3 });
    const replaced = await asAdmin('POST', '/v1/clients/versioned/secret');
    expect(replaced.headers.get('etag')).toBe('"4"');
    const read = await asAdmin('GET', '/v1/clients/versioned');
    expect([read.status, read.headers.get('etag')]).toEqual([200, '"4"']);
    expect(read.body).toEqual((replaced.body as IssuedClient).client);
    expect((await asAdmin('PATCH', '/v1/clients/versioned', { name: 'x' })).status).toBe(200);
    expect((await asAdmin('DELETE', '/v1/clients/versioned')).status).toBe(204);
    expect(codeOf(await asAdmin('GET', '/v1/clients/versioned'))).toEqual([404, 'NOT_FOUND']);
  });

  test('the secret is shown once, replaced at once, and dead with its account', async () => {
    const created = await asAdmin('POST', '/v1/clients', {
      clientId: 'billing',
      scopes: ['keys:verify'],
    });
    expect(created.status).toBe(201);
    const { client, clientSecret } = created.body as IssuedClient;
    expect(clientSecret).toMatch(/^kws_[\w-]{43}$/);
    expect(client).toEqual({
      jwks: null,
      clientId: 'billing',
      name: 'billing',
      scopes: ['keys:verify'],
      audiences: ['key-service'],
      enabled: true,
      createdAt: expect.any(String),
      updatedAt: client.createdAt,
      version: 1,
    });
    expect((await tokenOf(grant, `billing:${clientSecret}`)).status).toBe(200);
    const listed = await asAdmin('GET', '/v1/clients');
    expect(listed.body).toMatchObject({ data: [{ clientId: 'service-a' }, client] });
    expect(listed.text).not.toContain('kws_');
    const replaced = (await asAdmin('POST', '/v1/clients/billing/secret')).body as IssuedClient;
    const next = `billing:${replaced.clientSecret}`;
    expect((await tokenOf(grant, `billing:${clientSecret}`)).status).toBe(401);
    expect((await tokenOf(grant, next)).status).toBe(200);
    const disabled = await asAdmin('PATCH', '/v1/clients/billing', { enabled: false });
    expect(disabled.body).toMatchObject({ enabled: false });
    expect((await tokenOf(grant, next)).status).toBe(401);
    const again = await asAdmin('POST', '/v1/clients', { clientId: 'billing' });
    expect(codeOf(again)).toEqual([409, 'ALREADY_EXISTS']);
    expect((await asAdmin('DELETE', '/v1/clients/billing')).status).toBe(204);
    expect(codeOf(await asAdmin('DELETE', '/v1/clients/billing'))).toEqual([404, 'NOT_FOUND']);
  });

  test('a service account is nobody at the routes of people', async () => {
    await asAdmin('PATCH', '/v1/clients/service-a', { audiences: ['key-service', 'login'] });
    const { body } = await tokenOf({ ...grant, audience: 'login' }, basic);
    const token = (body as { access_token: string }).access_token;
    for (const path of ['/v1/me', '/v1/users', '/v1/clients'])
      expect(codeOf(await login.call('GET', path, { token }))).toEqual([403, 'FORBIDDEN']);
  });
});

describe('the walls of login', () => {
  test('it knows nothing of API keys: no table, no route, no import', async () => {
    const columns = await lab.postgres.query<{ name: string }>(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
       WHERE table_schema = 'login'`,
    );
    const { paths } = (await login.call('GET', '/openapi.json')).body as { paths: object };
    const source = new URL('./', import.meta.url);
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.js') && !/\.spec\.js$|^testing/.test(name),
    );
    const imports = files.flatMap((name) =>
      Array.from(
        readFileSync(new URL(name, source), 'utf8').matchAll(/from '([^']+)'/g),
        (match) => match[1]!,
      ),
    );
    expect(imports.length).toBeGreaterThan(50);
    expect(columns.length).toBeGreaterThan(20);
    const words = [...columns.map((one) => one.name), ...Object.keys(paths), ...imports];
    expect(
      words.filter((word) => /api.?key|key-(core|guard|client|service)|secret_hash/i.test(word)),
    ).toEqual([]);
  });

  test('its role can neither change the schema, nor read another, nor remove a person', async () => {
    const { Client } = (await import('pg')).default;
    const client = new Client({ connectionString: lab.url });
    await client.connect();
    const refused = [
      'CREATE TABLE login.mine (id text)',
      'ALTER TABLE login.user ADD COLUMN mine text',
      'DROP TABLE login.session',
      'TRUNCATE login.user',
      'DELETE FROM login.user',
      'SELECT * FROM keys.key',
      'CREATE SCHEMA mine',
      'CREATE ROLE mine',
    ];
    for (const sql of refused)
      await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
    await client.end();
  });
});
