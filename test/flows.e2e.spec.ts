import { readFileSync, writeFileSync } from 'node:fs';
import type { IssuedClient, IssuedKey, Me, RotatedKey, Service, TokenPair } from '#contracts';
import { INSTANT, keyTextOf, refusal, shownKey, TOKEN_PAIR, USER_ID } from './support/expected.js';
import { SERVICE_NAMES, startScene, type Scene, type ServiceName } from './support/scene.js';

const REPORT = { id: expect.stringMatching(/^rpt_[0-9a-f]{16}$/) as unknown, createdAt: INSTANT };
const REPORTS = {
  data: [
    { ...REPORT, title: 'Stock at mid-year' },
    { ...REPORT, title: 'Sales of the first quarter' },
    { ...REPORT, title: 'Opening balance' },
  ],
  nextCursor: null,
};
const SUMMARY = {
  reports: 3,
  latest: 'Stock at mid-year',
  titles: ['Stock at mid-year', 'Sales of the first quarter', 'Opening balance'],
};

let scene: Scene;
let admin: string;
let adminId: string;
beforeAll(async () => {
  scene = await startScene();
  admin = await scene.token();
  const { body } = await scene.tell('login', '/v1/me', { token: admin });
  adminId = (body as Me).id;
});
afterAll(() => scene?.platform.remove());

/** A key for service-b, provisioned through service-a. */
async function provision(name: string, scopes = ['reports:read']): Promise<IssuedKey> {
  const body = { name, consumer: 'service-b', scopes };
  const answer = await scene.tell('serviceA', '/v1/api-keys', { token: admin, body });
  expect(answer.status).toBe(201);
  return answer.body as IssuedKey;
}

describe('a user logs in', () => {
  const logIn = async (via: ServiceName): Promise<TokenPair> => {
    const body = scene.platform.quickstart.admin;
    const answer = await scene.ask(via, '/v1/login', { body });
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 200, body: TOKEN_PAIR });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    return answer.body as TokenPair;
  };

  it.each(['serviceA', 'login'] as const)(
    'through %s, and every service knows them',
    async (via) => {
      const { accessToken } = await logIn(via);
      const [header, payload] = accessToken
        .split('.')
        .slice(0, 2)
        .map((part): unknown => JSON.parse(Buffer.from(part, 'base64url').toString()));
      expect(header).toEqual({ typ: 'at+jwt', alg: 'ES256', kid: expect.any(String) });
      expect(payload).toEqual({
        iss: scene.platform.quickstart.login,
        aud: ['login', 'key-service', 'service-a', 'service-b'],
        sub: adminId,
        username: 'admin',
        roles: ['admin'],
        sid: expect.stringMatching(/^ses_[0-9A-Za-z]{16}$/),
        jti: expect.any(String),
        iat: expect.any(Number),
        exp: (payload as { iat: number }).iat + 600,
      });
      await expect(scene.tell('login', '/v1/me', { token: accessToken })).resolves.toEqual({
        status: 200,
        body: {
          id: USER_ID,
          username: 'admin',
          roles: ['admin'],
          services: null,
          expiresAt: INSTANT,
        },
      });
      const seenBy: [ServiceName, string][] = [
        ['keyService', '/v1/services'],
        ['serviceA', '/v1/api-keys'],
        ['serviceB', '/v1/summary'],
      ];
      for (const [service, path] of seenBy) {
        const { status } = await scene.tell(service, path, { token: accessToken });
        expect({ service, status }).toEqual({ service, status: 200 });
      }
    },
  );

  it('and is told nothing of what was wrong when it was', async () => {
    const { username, password } = scene.platform.quickstart.admin;
    const wrong = refusal(
      'INVALID_CREDENTIALS',
      '/v1/login',
      'The user name or the password is not right',
    );
    for (const via of ['serviceA', 'login'] as const) {
      for (const body of [
        { username, password: `${password}x` },
        { username: 'nobody', password },
      ]) {
        await expect(scene.tell(via, '/v1/login', { body })).resolves.toEqual(wrong);
      }
    }
  });

  it.each(['serviceA', 'login'] as const)(
    'refreshes through %s; a refresh token that is used twice ends the session',
    async (via) => {
      const first = await logIn(via);
      const refresh = (refreshToken: string) =>
        scene.tell(via, '/v1/token/refresh', { body: { refreshToken } });
      const second = await refresh(first.refreshToken);
      expect(second).toEqual({ status: 200, body: TOKEN_PAIR });
      const { accessToken, refreshToken } = second.body as TokenPair;
      expect(refreshToken).not.toBe(first.refreshToken);
      expect(await scene.tell('login', '/v1/me', { token: accessToken })).toMatchObject({
        status: 200,
      });

      const detail = 'Log in again: the refresh token is not good, or no longer';
      const refused = refusal('INVALID_TOKEN', '/v1/token/refresh', detail);
      await expect(refresh(first.refreshToken)).resolves.toEqual(refused);
      await expect(refresh(refreshToken)).resolves.toEqual(refused);
      await expect(scene.tell('login', '/v1/me', { token: accessToken })).resolves.toEqual(
        refusal('INVALID_TOKEN', '/v1/me'),
      );
    },
  );

  it.each(['serviceA', 'login'] as const)('and logs out through %s', async (via) => {
    const { refreshToken, accessToken } = await logIn(via);
    const body = { refreshToken };
    const out = await scene.ask(via, '/v1/logout', { body });
    expect({ status: out.status, body: out.body }).toEqual({ status: 204, body: null });
    await expect(scene.tell(via, '/v1/token/refresh', { body })).resolves.toEqual(
      refusal('INVALID_TOKEN', '/v1/token/refresh'),
    );
    await expect(scene.tell('login', '/v1/me', { token: accessToken })).resolves.toEqual(
      refusal('INVALID_TOKEN', '/v1/me'),
    );
    // Logging out twice is no fault.
    expect(await scene.tell(via, '/v1/logout', { body })).toEqual({ status: 204, body: null });
  });
});

describe('an admin provisions a key through service-a', () => {
  it('and gets its text this once; the change log names the admin and the service', async () => {
    const answer = await scene.ask('serviceA', '/v1/api-keys', {
      token: admin,
      headers: { 'x-request-id': 'provisioning-1' },
      body: {
        name: 'nightly job',
        consumer: 'service-b',
        scopes: ['reports:read', 'reports:write'],
        expiresInSeconds: 3_600,
        rateLimits: [{ name: 'burst', limit: 100, windowSeconds: 1 }],
      },
    });
    const issued = answer.body as IssuedKey;
    const shown = shownKey({
      name: 'nightly job',
      grants: [{ service: 'service-a', scopes: ['reports:read', 'reports:write'] }],
      rateLimits: [{ name: 'burst', limit: 100, windowSeconds: 1 }],
      hint: { prefix: 'kw', last4: issued.secret.slice(-4) },
      createdBy: adminId,
    });
    expect({ status: answer.status, body: issued }).toEqual({
      status: 201,
      body: { key: shown, secret: keyTextOf(issued.key.id) },
    });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const lifeMs = Date.parse(issued.key.expiresAt ?? '') - Date.parse(issued.key.createdAt);
    expect(lifeMs).toBe(3_600_000);

    await expect(changesOf(issued.key.id)).resolves.toEqual([
      {
        seq: expect.any(String),
        at: expect.any(Date),
        actor: adminId,
        via: 'service-a',
        action: 'key.created',
        target_type: 'key',
        target_id: issued.key.id,
        key_version: 1,
        services: ['service-a'],
        before: null,
        after: expect.objectContaining({ name: 'nightly job', consumer: 'service-b' }),
        request_id: 'provisioning-1',
        ip: '127.0.0.1',
      },
    ]);
    const listed = await scene.tell('serviceA', '/v1/api-keys', { token: admin });
    expect(listed.body).toMatchObject({ data: expect.arrayContaining([issued.key]) });
    await expect(
      scene.tell('keyService', `/v1/keys/${issued.key.id}`, { token: admin }),
    ).resolves.toEqual({ status: 200, body: issued.key });
  });

  it('or directly at the key service, which then names no service between', async () => {
    const answer = await scene.ask('keyService', '/v1/keys', {
      token: admin,
      body: {
        name: 'direct',
        consumer: 'service-b',
        grants: [{ service: 'service-a', scopes: ['reports:read'] }],
      },
    });
    const { key } = answer.body as IssuedKey;
    expect({ status: answer.status, body: answer.body }).toEqual({
      status: 201,
      body: { key: shownKey({ name: 'direct', createdBy: adminId }), secret: keyTextOf(key.id) },
    });
    expect(answer.headers.get('location')).toBe(`/v1/keys/${key.id}`);
    await expect(changesOf(key.id)).resolves.toMatchObject([{ actor: adminId, via: null }]);
  });

  it('and a name, scope or consumer that is not there is refused in terms of the own body', async () => {
    const body = { name: 'x', consumer: 'service-b', scopes: ['reports:burn'] };
    await expect(scene.tell('serviceA', '/v1/api-keys', { token: admin, body })).resolves.toEqual({
      status: 400,
      body: {
        ...refusal('INVALID_REQUEST', '/v1/api-keys').body,
        code: expect.any(String),
        type: expect.any(String),
        title: expect.any(String),
        errors: [{ pointer: '/scopes/0', code: expect.any(String), detail: expect.any(String) }],
      },
    });
  });

  const changesOf = (id: string) =>
    scene.sql('SELECT * FROM keys.change_log WHERE target_id = $1 ORDER BY seq', [id]);
});

describe('service-b calls service-a with its key', () => {
  it('and makes something of the answer for its user', async () => {
    await expect(scene.tell('serviceB', '/v1/summary', { token: admin })).resolves.toEqual({
      status: 200,
      body: SUMMARY,
    });
    const key = readFileSync(scene.platform.at('service-b.key'), 'utf8').trim();
    await expect(scene.tell('serviceB', '/v1/key-status', { token: admin })).resolves.toEqual({
      status: 200,
      body: {
        configured: true,
        keyId: `key_${key.split('_')[2]}`,
        secretVersion: expect.stringMatching(/^[0-9a-f]{8}$/),
        source: 'file',
        refreshedAt: INSTANT,
      },
    });
    await expect(scene.tell('serviceA', '/v1/reports', { key })).resolves.toEqual({
      status: 200,
      body: REPORTS,
    });
  });

  it('which service-a asks for by scope, and says what is missing', async () => {
    const reader = await provision('reader');
    const write = (key: string) =>
      scene.tell('serviceA', '/v1/reports', { key, body: { title: 'Closing balance' } });
    await expect(write(reader.secret)).resolves.toEqual(
      refusal('INSUFFICIENT_SCOPE', '/v1/reports', 'Ask for a key with the scope that this needs'),
    );
    const writer = await provision('writer', ['reports:write']);
    const written = await write(writer.secret);
    expect(written).toEqual({ status: 201, body: { ...REPORT, title: 'Closing balance' } });
    const { id } = written.body as { id: string };
    await expect(
      scene.tell('serviceA', `/v1/reports/${id}`, { key: reader.secret }),
    ).resolves.toEqual({ status: 200, body: written.body });
    await expect(
      scene.tell('serviceA', `/v1/reports/${id}`, { key: writer.secret }),
    ).resolves.toEqual(refusal('INSUFFICIENT_SCOPE', `/v1/reports/${id}`));
  });

  it('and is told where to put one when it sends none', async () => {
    const answer = await scene.ask('serviceA', '/v1/reports');
    expect({ status: answer.status, body: answer.body }).toEqual(
      refusal('API_KEY_MISSING', '/v1/reports', 'Send the key in the x-api-key header'),
    );
    expect(answer.headers.get('www-authenticate')).toBe('ApiKey');
    await expect(scene.tell('serviceA', '/v1/reports', { token: admin })).resolves.toEqual(
      refusal('API_KEY_MISSING', '/v1/reports'),
    );
  });

  it('until the key is revoked: 502 at the next call, and on with a new one without a restart', async () => {
    const file = scene.platform.at('service-b.key');
    const old = readFileSync(file, 'utf8');
    const { key, secret } = await provision('short-lived');
    writeFileSync(file, secret);
    const summary = () => scene.tell('serviceB', '/v1/summary', { token: admin });
    expect((await summary()).status).toBe(200);

    const revoked = await scene.tell('serviceA', `/v1/api-keys/${key.id}/revoke`, {
      token: admin,
      body: { reason: 'compromised', comment: 'Found in a ticket' },
    });
    expect(revoked).toEqual({
      status: 200,
      body: {
        key: {
          ...key,
          status: 'revoked',
          updatedAt: INSTANT,
          revokedAt: INSTANT,
          revocationReason: 'compromised',
          version: 2,
        },
        propagation: { confirmed: true, boundSeconds: 0, ms: expect.any(Number) },
      },
    });
    await expect(summary()).resolves.toEqual(
      refusal(
        'UPSTREAM_REFUSED',
        '/v1/summary',
        'The reports cannot be read; the operators of this service have to look into it',
      ),
    );
    await expect(scene.tell('serviceA', '/v1/reports', { key: secret })).resolves.toEqual(
      refusal('API_KEY_REVOKED', '/v1/reports', 'Ask for a new key; this one was revoked'),
    );
    const next = await provision('the next one');
    writeFileSync(file, `${next.secret}\n`);
    expect(await summary()).toMatchObject({ status: 200 });
    expect(await scene.tell('serviceB', '/v1/key-status', { token: admin })).toMatchObject({
      body: { keyId: next.key.id },
    });
    writeFileSync(file, old);
    expect((await summary()).status).toBe(200);
  });
});

describe('a key is rotated through service-a', () => {
  const use = (key: string) => scene.ask('serviceA', '/v1/reports', { key });
  const rotate = async (id: string, body: object) => {
    const path = `/v1/api-keys/${id}/rotate`;
    const answer = await scene.ask('serviceA', path, { token: admin, body });
    const isDone = answer.status === 200;
    expect(answer.headers.get('keyward-propagation')).toBe(isDone ? 'confirmed' : null);
    return { status: answer.status, body: answer.body };
  };

  it('with no overlap: the old secret has ended when the answer is there', async () => {
    const { key, secret } = await provision('rotated at once');
    expect((await use(secret)).status).toBe(200);
    const answer = await rotate(key.id, { overlapSeconds: 0 });
    const rotated = answer.body as RotatedKey;
    const end = rotated.previous.validUntil;
    expect(answer).toEqual({
      status: 200,
      body: {
        key: {
          ...key,
          hint: { prefix: 'kw', last4: rotated.secret.slice(-4) },
          rotation: { state: 'finished', previousValidUntil: end },
          updatedAt: INSTANT,
          version: 2,
        },
        secret: keyTextOf(key.id),
        previous: { validUntil: INSTANT },
      },
    });
    expect(rotated.secret).not.toBe(secret);
    const refused = await use(secret);
    expect({ status: refused.status, body: refused.body }).toEqual(
      refusal(
        'API_KEY_SUPERSEDED',
        '/v1/reports',
        'Use the newer secret of this key; this one has ended',
      ),
    );
    const allowed = await use(rotated.secret);
    expect(allowed.status).toBe(200);
    expect(headersAbout(allowed.headers)).toEqual({ deprecation: null, sunset: null });
  });

  it('with an overlap: both work, and the old one is told when it ends', async () => {
    const { key, secret } = await provision('rotated gently');
    const before = await use(secret);
    expect(headersAbout(before.headers)).toEqual({ deprecation: null, sunset: null });
    const answer = await rotate(key.id, { overlapSeconds: 60, reason: 'yearly' });
    const rotated = answer.body as RotatedKey;
    const end = rotated.previous.validUntil;
    expect(answer).toEqual({
      status: 200,
      body: {
        key: {
          ...key,
          hint: { prefix: 'kw', last4: rotated.secret.slice(-4) },
          rotation: { state: 'overlapping', previousValidUntil: end },
          updatedAt: INSTANT,
          version: 2,
        },
        secret: keyTextOf(key.id),
        previous: { validUntil: INSTANT },
      },
    });
    const onOld = await use(secret);
    expect(onOld.status).toBe(200);
    expect(headersAbout(onOld.headers)).toEqual({
      deprecation: expect.stringMatching(/^@\d{10}$/),
      sunset: new Date(end).toUTCString(),
    });
    const onNew = await use(rotated.secret);
    expect(onNew.status).toBe(200);
    expect(headersAbout(onNew.headers)).toEqual({ deprecation: null, sunset: null });
    await expect(rotate(key.id, {})).resolves.toEqual(
      refusal('CONFLICT', `/v1/api-keys/${key.id}/rotate`),
    );
  });

  const headersAbout = (headers: Headers) => ({
    deprecation: headers.get('deprecation'),
    sunset: headers.get('sunset'),
  });
});

describe('every service describes itself', () => {
  it.each(SERVICE_NAMES)('%s: its document is the one in docs/api', async (service) => {
    const { status, body } = await scene.tell(service, '/openapi.json');
    expect(status).toBe(200);
    const file = service.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const path = new URL(`../../docs/api/${file}.json`, import.meta.url);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(body);
    expect(body).toMatchObject({ openapi: '3.1.0' });
  });

  it.each(SERVICE_NAMES)('%s: its page loads, all from the service itself', async (service) => {
    const page = await scene.ask(service, '/docs');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    const links = [...String(page.body).matchAll(/(?:src|href)="([^"]+)"/g)].map(
      ([, link]) => link,
    );
    expect(links).not.toEqual([]);
    expect((await scene.ask(service, '/docs/')).body).toEqual(page.body);
    for (const link of links) {
      expect(link).toMatch(/^\.\/docs\//);
      const part = await scene.ask(service, `/${link?.slice(2)}`);
      expect({ link, status: part.status }).toEqual({ link, status: 200 });
    }
  });

  it('and is healthy, without saying what it is made of', async () => {
    for (const service of SERVICE_NAMES) {
      for (const path of ['/health/live', '/health/ready']) {
        await expect(scene.tell(service, path)).resolves.toEqual({
          status: 200,
          body: { status: 'ok' },
        });
      }
    }
  });
});

it('the catalogue that npm start made is what the flows need, no more', async () => {
  const { body } = await scene.tell('keyService', '/v1/services', { token: admin });
  expect((body as { data: Service[] }).data).toEqual([
    expect.objectContaining({ slug: 'service-a', scopes: ['reports:read', 'reports:write'] }),
  ]);
  const consumers = await scene.tell('keyService', '/v1/consumers', { token: admin });
  expect(consumers.body).toMatchObject({ data: [{ slug: 'service-b', enabled: true }] });
});

it('a service that is none of the apps takes part: it makes keys for an admin and verifies them', async () => {
  const scopes = ['invoices:read'];
  const made = await scene.tell('login', '/v1/clients', {
    token: admin,
    body: { clientId: 'billing', scopes: ['keys:provision', 'keys:verify'] },
  });
  expect(made.status).toBe(201);
  const { clientSecret } = made.body as IssuedClient;
  const service = await scene.tell('keyService', '/v1/services', {
    token: admin,
    body: { slug: 'billing', scopes },
  });
  expect(service.status).toBe(201);
  const billing = await scene.serviceToken('billing', { clientSecret });
  const forBilling = await scene.token();
  const { aud } = JSON.parse(
    Buffer.from(forBilling.split('.')[1] ?? '', 'base64url').toString(),
  ) as { aud: string[] };
  expect(aud).toEqual(['login', 'key-service', 'service-a', 'service-b', 'billing']);
  const grants = [{ service: 'billing', scopes }];
  const created = await scene.tell('keyService', '/v1/keys', {
    token: billing,
    headers: { 'x-actor-token': forBilling },
    body: { name: 'For invoices', consumer: 'service-b', grants },
  });
  expect(created).toMatchObject({ status: 201, body: { key: { grants, createdBy: adminId } } });
  const { key, secret } = created.body as IssuedKey;
  const verdict = await scene.tell('keyService', '/v1/keys/verify', {
    token: billing,
    body: { key: secret, scopes },
  });
  expect(verdict.body).toMatchObject({ valid: true, code: 'VALID', keyId: key.id, scopes });
  const elsewhere = await scene.tell('serviceA', '/v1/reports', { key: secret });
  expect(elsewhere).toEqual(refusal('API_KEY_INVALID', '/v1/reports'));
});
