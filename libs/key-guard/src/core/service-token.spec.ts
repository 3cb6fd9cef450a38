import { inspect } from 'node:util';
import { createServiceToken, TokenUnavailable } from './service-token.js';
import { createStubServer, json, type StubServer } from '../testing/stub-server.js';

describe('createServiceToken', () => {
  let login: StubServer;
  let nowMs: number;
  let issued: number;
  const grant = () =>
    login.answer((_seen, response) =>
      json(response, 200, {
        access_token: `token-${(issued += 1)}`,
        token_type: 'Bearer',
        expires_in: 600,
        scope: 'keys:verify',
      }),
    );
  const make = () =>
    createServiceToken({
      tokenUrl: `${login.url}/oauth2/token`,
      clientId: 'service-a',
      clientSecret: 'kws_s3cret:+%',
      audience: 'key-service',
      scope: 'keys:verify keys:provision',
      timeoutMs: 500,
      nowMs: () => nowMs,
    });

  beforeEach(async () => {
    login = await createStubServer();
    [nowMs, issued] = [0, 0];
    grant();
  });
  afterEach(() => login.close());

  it('asks with the service account in Basic and the audience and scope in a form', async () => {
    await expect(make()()).resolves.toBe('token-1');
    const { path, headers, body } = login.seen[0]!;
    const credentials = Buffer.from(headers.authorization!.slice('Basic '.length), 'base64');
    expect(path).toBe('/oauth2/token');
    expect(headers['content-type']).toBe('application/x-www-form-urlencoded');
    expect(credentials.toString()).toBe(`service-a:${encodeURIComponent('kws_s3cret:+%')}`);
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      grant_type: 'client_credentials',
      audience: 'key-service',
      scope: 'keys:verify keys:provision',
    });
  });

  it('makes one request for all who ask at once, and none while the token is young', async () => {
    const token = make();
    await expect(Promise.all([token(), token(), token()])).resolves.toEqual(
      Array(3).fill('token-1'),
    );
    nowMs = 479_000;
    await expect(token()).resolves.toBe('token-1');
    expect(login.seen).toHaveLength(1);
  });

  it('gets the next token before the old one ends, without making anyone wait', async () => {
    const token = make();
    await token();
    nowMs = 480_000;
    await expect(token()).resolves.toBe('token-1');
    while ((await token()) === 'token-1') await new Promise(setImmediate);
    expect(login.seen).toHaveLength(2);
  });

  it('uses the last token to its end while login is away, then fails until login is back', async () => {
    const token = make();
    await token();
    login.answer((_seen, response) => void response.destroy());
    nowMs = 599_999;
    await expect(token()).resolves.toBe('token-1');
    await new Promise((resolve) => setTimeout(resolve, 50));
    nowMs = 601_000;
    await expect(token()).rejects.toBeInstanceOf(TokenUnavailable);
    grant();
    await expect(token()).rejects.toBeInstanceOf(TokenUnavailable);
    nowMs = 602_000;
    await expect(token()).resolves.toBe('token-2');
  });

  it('asks again at once where nobody listened: login may be starting', async () => {
    const { port } = new URL(login.url);
    const token = make();
    await login.close();
    await expect(token()).rejects.toThrow(TokenUnavailable);
    login = await createStubServer(Number(port));
    grant();
    await expect(token()).resolves.toBe('token-1');
  });

  it('replaces a token that was refused, at most once a second', async () => {
    const token = make();
    await token();
    await expect(token('token-1')).resolves.toBe('token-1');
    nowMs = 1_000;
    await expect(token('token-1')).resolves.toBe('token-2');
    await expect(token('token-1')).resolves.toBe('token-2');
    expect(login.seen).toHaveLength(2);
  });

  it.each<[string, object]>([
    ['tokenUrl', { tokenUrl: undefined }],
    ['tokenUrl', { tokenUrl: 'undefined/oauth2/token' }],
    ['tokenUrl', { tokenUrl: 'file:///oauth2/token' }],
    ['clientId', { clientId: '' }],
    ['clientSecret', { clientSecret: '' }],
    ['clientSecret', { clientSecret: undefined }],
    ['clientSecret', { clientAssertion: () => 'x.y.z' }],
    ['clientAssertion', { clientSecret: undefined, clientAssertion: 'x.y.z' }],
    ['audience', { audience: undefined }],
    ['scope', { scope: '' }],
    ['timeoutMs', { timeoutMs: -1 }],
    ['ca', { ca: '/etc/ssl/ca.pem' }],
    ['clientSecrets', { clientSecrets: 'kws_s3cret' }],
  ])('stops the start where %s is wrong, and shows no secret: %j', (name, wrong) => {
    const given = {
      tokenUrl: 'https://login.example/oauth2/token',
      clientId: 'service-a',
      clientSecret: 'kws_s3cret',
      audience: 'key-service',
      scope: 'keys:verify',
    };
    expect(() => createServiceToken({ ...given, ...wrong })).toThrow(name);
    expect(() => createServiceToken({ ...given, ...wrong })).not.toThrow('s3cret');
  });

  it('says nothing of the secret when login refuses it or answers oddly', async () => {
    for (const [status, body] of [
      [401, { error: 'invalid_client' }],
      [200, { access_token: 'x' }],
    ] as const) {
      login.answer((_seen, response) => json(response, status, body));
      const error: unknown = await make()().catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(TokenUnavailable);
      expect(inspect(error, { depth: 9 })).not.toContain('s3cret');
    }
  });
});
