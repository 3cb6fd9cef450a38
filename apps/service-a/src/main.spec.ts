import { startAppProcess } from '../../../test/support/app-process.js';
import { sendJson, sendProblem, type StubServer } from '../../../test/support/stub-server.js';
import { createSurroundings, type Surroundings } from './testing/service-a.js';

const entry = new URL('./main.js', import.meta.url);
const secretPart = 'aB3'.repeat(17).slice(0, 49);
const secret = `kw_live_3kTMd7QpXvB2nYcF_${secretPart}`;
const decision = { source: 'store', asOf: '2027-01-31T12:00:00.000Z', ttlSeconds: 1, version: 1 };

describe('service-a as a process', () => {
  let around: Surroundings;
  beforeEach(async () => {
    around = await createSurroundings();
  });
  afterEach(() => around.close());

  it('writes no key, token, password or client secret to its log, whatever goes wrong', async () => {
    const app = await startAppProcess(entry, 'SERVICE_A_PORT', {
      ...around.env,
      NODE_ENV: 'production',
      LOG_LEVEL: 'debug',
    });
    const admin = await around.token({ roles: ['admin'] });
    const call = (path: string, init: RequestInit = {}) =>
      fetch(`${app.url}${path}`, init).then((response) => response.text());
    const provision = () =>
      call('/v1/api-keys', {
        method: 'POST',
        headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'x', consumer: 'service-b', scopes: ['reports:read'] }),
      });
    for (const answer of answersWithSecrets(around.keyService)) {
      answer();
      await call('/v1/reports', { headers: { 'x-api-key': secret } });
      await provision();
    }
    await call(`/v1/reports?key=${secret}`);
    await call(`/v1/reports/${secret}`, { headers: { 'x-api-key': secret } });
    await call(`/${secret}`, { headers: { 'x-request-id': secret, cookie: `key=${secret}` } });
    await call('/v1/reports', { headers: { 'x-api-key': `${secret},${secret}` } });
    await call('/v1/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'ada', password: 'open sesame 123' }),
    });
    expect(await app.stop()).toBe(0);
    const output = app.output();
    expect(output.match(/"msg":"request"/g)).toHaveLength(13);
    const secrets = [secretPart, admin, 'own-token-1', 'open sesame', 'kws_test-secret'];
    for (const one of secrets) expect(output).not.toContain(one);
  });

  it('does not start on a missing or wrong setting, and names it without its value', async () => {
    const { SERVICE_A_CLIENT_SECRET: _, ...env } = around.env;
    const bad = { ...env, NODE_ENV: 'production', KEY_SERVICE_URL: 'http://ok:1, not-a-url' };
    const failed: unknown = await startAppProcess(entry, 'SERVICE_A_PORT', bad).catch(
      (error: unknown) => error,
    );
    expect(String(failed)).toMatch(/SERVICE_A_CLIENT_SECRET/);
    expect(String(failed)).toMatch(/KEY_SERVICE_URL/);
    expect(String(failed)).not.toContain('not-a-url');
  });
});

function answersWithSecrets(keyService: StubServer): (() => void)[] {
  const both = (respond: Parameters<StubServer['routes']>[0][string]) => () =>
    keyService.routes({ 'POST /v1/keys/verify': respond, 'POST /v1/keys': respond });
  return [
    both((_seen, response) =>
      sendJson(response, 200, { valid: true, code: 'VALID', decision, key: secret }),
    ),
    both((_seen, response) =>
      sendProblem(response, 500, 'INTERNAL_ERROR', { detail: `Cannot store ${secret}` }),
    ),
    both((_seen, response) => sendJson(response, 400, { key: secret })),
    both((_seen, response) => void response.destroy()),
  ];
}
