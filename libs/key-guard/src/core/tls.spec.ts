import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyGuard } from './key-guard.js';
import { VerificationUnavailable } from './unavailable.js';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
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

// Without openssl there is nothing to make a certificate with, and these are skipped.
(hasOpenssl ? describe : describe.skip)('the certificate of the key service', () => {
  let dir: string;
  let seen = 0;
  const servers: Server[] = [];
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'keyward-tls-'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  afterEach(() => servers.splice(0).forEach((one) => one.close()));

  /** An https server on 127.0.0.1 with a certificate of its own for `name`. */
  const serve = async (name: string): Promise<{ url: string; ca: string }> => {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${name}`];
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const files = ['-keyout', key, '-out', cert, '-days', '1'];
    execFileSync('openssl', ['req', ...kind, ...files, ...subject], { stdio: 'ignore' });
    const ca = readFileSync(cert, 'utf8');
    const server = createServer({ key: readFileSync(key), cert: ca }, (_request, response) => {
      seen += 1;
      response.setHeader('content-type', 'application/json').end(JSON.stringify(verdict));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
    return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, ca };
  };
  const ask = async (url: string, ca?: string) => {
    const guard = createKeyGuard({
      urls: [url],
      token: () => Promise.resolve('own-token'),
      service: 'reports',
      mode: 'strict',
      timeoutMs: 5_000,
      ...(ca !== undefined && { ca }),
    });
    const answer = await Promise.resolve(guard.verify({ key: 'kw_live_x' })).catch(
      (error: unknown) => error,
    );
    await guard.close();
    return answer;
  };

  it('is taken from an authority that is trusted', async () => {
    const { url, ca } = await serve('IP:127.0.0.1');
    expect(await ask(url, ca)).toEqual(verdict);
  });

  it('is refused where nobody vouches for it, even where the process checks none', async () => {
    const { url } = await serve('IP:127.0.0.1');
    seen = 0;
    expect(await ask(url)).toBeInstanceOf(VerificationUnavailable);
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      expect(await ask(url)).toBeInstanceOf(VerificationUnavailable);
    } finally {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    }
    expect(seen).toBe(0);
  });

  it('is refused where it is another host’s', async () => {
    const { url, ca } = await serve('DNS:key-service.test');
    seen = 0;
    expect(await ask(url, ca)).toBeInstanceOf(VerificationUnavailable);
    expect(seen).toBe(0);
  });
});
