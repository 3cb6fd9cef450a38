import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { selfSigned } from '../testing/certificate.js';
import { serveFeed } from '../testing/stub-feed.js';
import { json } from '../testing/stub-server.js';
import { createKeyGuard } from './key-guard.js';
import { createServiceToken, TokenUnavailable } from './service-token.js';
import { VerificationUnavailable } from './unavailable.js';

const verdict = {
  valid: true,
  code: 'VALID',
  keyId: 'key_3kTMd7QpXvB2nYcF',
  secretNumber: 1,
  consumer: 'service-b',
  environment: 'live',
  scopes: ['reports:read'],
  decision: { source: 'store', asOf: '2027-01-31T12:00:00.000Z', ttlSeconds: 60, version: 1 },
};
const granted = {
  access_token: 'own-token',
  token_type: 'Bearer',
  expires_in: 600,
  scope: 'keys:verify',
};

/** Key service and login at once, over https. */
interface TlsStub {
  url: string;
  /** PEM of who vouches for it. */
  ca: string;
  /** Connections that were made, and requests that came over them. */
  seen: { connections: number; requests: number };
}

describe('the certificate', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const one of servers.splice(0)) {
      one.closeAllConnections();
      one.close();
    }
  });

  /** A server on 127.0.0.1 with a certificate of its own for `name`. */
  const serve = async (name: Parameters<typeof selfSigned>[0]): Promise<TlsStub> => {
    const { key, cert: ca } = selfSigned(name);
    const seen = { connections: 0, requests: 0 };
    const server = createServer({ key, cert: ca }, ({ url }, response) => {
      seen.requests += 1;
      if (url === '/v1/changes') serveFeed(response);
      else json(response, 200, url === '/oauth2/token' ? granted : verdict);
    });
    server.on('connection', () => (seen.connections += 1));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
    return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, ca, seen };
  };
  const guardOf = (url: string, ca: string | undefined, mode: 'cached' | 'strict') =>
    createKeyGuard({
      urls: [url],
      token: () => Promise.resolve('own-token'),
      service: 'reports',
      mode,
      timeoutMs: 5_000,
      onFault: () => undefined,
      ...(ca !== undefined && { ca }),
    });
  const tokenOf = (url: string, ca?: string) =>
    createServiceToken({
      tokenUrl: `${url}/oauth2/token`,
      clientId: 'service-a',
      clientSecret: 'kws_secret',
      audience: 'key-service',
      scope: 'keys:verify',
      ...(ca !== undefined && { ca }),
    })();
  const ask = async (url: string, ca?: string) => {
    const guard = guardOf(url, ca, 'strict');
    const answer = await Promise.resolve(guard.verify({ key: 'kw_live_x' })).catch(
      (error: unknown) => error,
    );
    await guard.close();
    return answer;
  };
  /** Whether a guard's feed is proven, or was tried again and again in vain. */
  const isFollowed = async ({ url, seen }: TlsStub, ca?: string) => {
    const guard = guardOf(url, ca, 'cached');
    while (!guard.state().isProven && seen.connections < 3) await wait(10);
    const { isProven } = guard.state();
    await guard.close();
    return isProven;
  };

  it('is taken from an authority that is trusted: of the key service, its feed and login', async () => {
    const stub = await serve('IP:127.0.0.1');
    expect(await ask(stub.url, stub.ca)).toEqual(verdict);
    expect(await tokenOf(stub.url, stub.ca)).toBe('own-token');
    expect(await isFollowed(await serve('IP:127.0.0.1'), stub.ca)).toBe(false);
    const other = await serve('IP:127.0.0.1');
    expect(await isFollowed(other, other.ca)).toBe(true);
  });

  it.each([
    ['where nobody vouches for it', 'IP:127.0.0.1', false],
    ['where it is another host’s', 'DNS:key-service.test', true],
  ] as const)('is refused %s, before anything is sent', async (_what, name, isVouched) => {
    const stubs = [await serve(name), await serve(name), await serve(name)] as const;
    const [asked, logsIn, followed] = stubs;
    const caOf = ({ ca }: TlsStub) => (isVouched ? ca : undefined);
    expect(await ask(asked.url, caOf(asked))).toBeInstanceOf(VerificationUnavailable);
    const token = tokenOf(logsIn.url, caOf(logsIn));
    await expect(token).rejects.toBeInstanceOf(TokenUnavailable);
    expect(await isFollowed(followed, caOf(followed))).toBe(false);
    expect(stubs.map(({ seen }) => seen.requests)).toEqual([0, 0, 0]);
  });

  it('is looked at even where the process looks at none', async () => {
    const stubs = [await serve('IP:127.0.0.1'), await serve('IP:127.0.0.1')] as const;
    const [keyService, login] = stubs.map(({ url }) => url);
    const core = new URL('../core.js', import.meta.url).href;
    const program = `
      import { createKeyGuard, createServiceToken } from '${core}';
      const nameOf = (asked) => Promise.resolve(asked).then(() => 'none', ({ name }) => name);
      const token = async () => 'own-token';
      const options = { urls: ['${keyService}'], token, service: 'reports', onFault: () => undefined };
      const guard = createKeyGuard({ ...options, timeoutMs: 5_000 });
      const account = { clientId: 'a', clientSecret: 'b', audience: 'c', scope: 'd' };
      const own = createServiceToken({ ...account, tokenUrl: '${login}/oauth2/token' });
      console.log(await nameOf(guard.verify({ key: 'kw_live_x' })), await nameOf(own()));
      process.stdin.on('end', () => void guard.close()).resume();`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      env: { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = once(child, 'close');
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    // some for the question, the others for the feed
    const { seen } = stubs[0];
    while (seen.connections < 5 && seen.requests === 0 && child.exitCode === null) await wait(10);
    child.stdin.end();
    await ended;
    expect(said).toBe('VerificationUnavailable TokenUnavailable\n');
    expect(stubs.map(({ seen }) => seen.requests)).toEqual([0, 0]);
  });
});
