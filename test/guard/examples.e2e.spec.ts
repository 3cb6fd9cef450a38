import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { IssuedKey, UsageReport } from '#contracts';
import { Usage } from '../../apps/key-service/src/usage/usage.js';
import { freePort } from '../support/free-port.js';
import { ROOT } from '../support/platform.js';
import { closeRaw, sendRaw } from '../support/raw-http.js';
import { startGuardWorld, until, type GuardWorld } from './support/guards.js';

/** Lets the examples import the package by its name, as it stands here. */
const CORE = pathToFileURL(join(ROOT, 'dist/libs/key-guard/src/core.js')).href;
const RESOLVE = `export const resolve = (name, context, next) =>
  name === '@keyward/key-guard/core' ? { url: '${CORE}', shortCircuit: true } : next(name, context);`;
const asModule = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
const IMPORT = asModule(
  `import { register } from 'node:module'; register(${JSON.stringify(asModule(RESOLVE))});`,
);

let world: GuardWorld;
let login: Server;
let loginUrl: string;

beforeAll(async () => {
  world = await startGuardWorld(1);
  const token = await world.replicas.issuer.service('service-a', 'keys:verify');
  const body = { access_token: token, token_type: 'Bearer', expires_in: 600, scope: 'keys:verify' };
  login = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => login.listen(0, '127.0.0.1', resolve));
  loginUrl = `http://127.0.0.1:${(login.address() as AddressInfo).port}`;
});
afterAll(async () => {
  closeRaw();
  login?.closeAllConnections();
  login?.close();
  await world?.stop();
});

describe.each(['express', 'fastify'])('the example for %s', (framework) => {
  let child: ChildProcess;
  let url: string;
  let issued: IssuedKey;
  let output = '';

  beforeAll(async () => {
    issued = await world.seeded.issue({
      rateLimits: [{ name: 'a', limit: 50, windowSeconds: 60 }],
    });
    const keyService = world.replicas.apps[0]!.getHttpServer().address() as AddressInfo;
    const port = String(await freePort());
    url = `http://127.0.0.1:${port}/reports`;
    const file = join(ROOT, `examples/guard-${framework}/server.mjs`);
    child = spawn(process.execPath, ['--import', IMPORT, file], {
      env: {
        PATH: process.env['PATH'],
        LOGIN_URL: loginUrl,
        KEY_SERVICE_URL: `http://127.0.0.1:${keyService.port}`,
        CLIENT_ID: 'service-a',
        CLIENT_SECRET: 'kws_of-service-a',
        PORT: port,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
    await until(`an answer; ${output}`, () =>
      fetch(url).then(
        () => true,
        () => false,
      ),
    );
  });
  afterAll(async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
  });

  const get = async (key?: string) => {
    const answer = await fetch(url, { headers: key === undefined ? {} : { 'x-api-key': key } });
    const { headers, status } = answer;
    return { status, headers, body: (await answer.json()) as { code?: string; readBy?: string } };
  };

  test('lets a good key pass, says whose it is and what is left of its limits', async () => {
    const { status, body, headers } = await get(issued.secret);
    expect([status, body.readBy]).toEqual([200, 'service-b']);
    expect(headers.get('ratelimit')).toMatch(/^"a";r=\d+;t=\d+$/);
  });

  test('refuses everything else as the platform does', async () => {
    const missing = await get();
    expect([missing.status, missing.body.code]).toEqual([401, 'API_KEY_MISSING']);
    expect(missing.headers.get('www-authenticate')).toBe('ApiKey');
    expect(missing.headers.get('content-type')).toContain('application/problem+json');
    const junk = await get('kw_live_junk');
    expect([junk.status, junk.body.code]).toEqual([403, 'API_KEY_INVALID']);
    const other = await world.seeded.issue({
      grants: [{ service: 'service-a', scopes: ['reports:write'] }],
    });
    const scopeless = await get(other.secret);
    expect([scopeless.status, scopeless.body.code]).toEqual([403, 'INSUFFICIENT_SCOPE']);
    const trial = await get((await world.seeded.issue({ environment: 'test' })).secret);
    expect([trial.status, trial.body.code]).toEqual([403, 'WRONG_ENVIRONMENT']);
  });

  test('refuses two keys in one request, also good ones, as the platform does', async () => {
    const headers = [
      ['x-api-key', issued.secret],
      ['x-api-key', issued.secret],
    ] as const;
    const answer = await sendRaw(url, { method: 'GET', path: '/reports', headers });
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([
      400,
      { code: 'INVALID_HEADER' },
    ]);
  });

  test('hears of a revocation', async () => {
    await world.manage('post', `/v1/keys/${issued.key.id}/revoke`, { reason: 'retired' });
    await until(
      'the refusal',
      async () => (await get(issued.secret)).body.code === 'API_KEY_REVOKED',
    );
    expect((await get(issued.secret)).status).toBe(403);
  });

  test('reports all of its use when it is told to end, and ends', async () => {
    const used = await world.seeded.issue();
    for (let i = 0; i < 50; i += 1) expect((await get(used.secret)).status).toBe(200);
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    await Promise.all(world.replicas.apps.map((app) => app.get(Usage).flush()));
    const path = `/v1/usage?keyId=${used.key.id}&granularity=day`;
    const { body } = await world.replicas.call('get', path, world.seeded.admin);
    const counts = (body as UsageReport).data.map((one) => one.counts.VALID ?? 0);
    expect(counts.reduce((sum, one) => sum + one, 0)).toBe(50);
  });
});
