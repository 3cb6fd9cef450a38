import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createNarrator } from './narrator.js';

const SECRET = `kw_live_${'a'.repeat(16)}_${'b'.repeat(49)}`;

describe('narrator', () => {
  let server: Server;
  let url: string;
  beforeAll(async () => {
    server = createServer((_, response) => {
      response.writeHead(403, { 'content-type': 'application/problem+json' });
      response.end(JSON.stringify({ code: 'API_KEY_REVOKED', secret: 'plain', detail: SECRET }));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterAll(() => server.close());

  it('prints request and answer without a secret', async () => {
    const lines: string[] = [];
    await createNarrator((line) => lines.push(line)).ask('Somebody asks', {
      url,
      headers: { 'x-api-key': SECRET },
      body: { username: 'admin', password: 'hunter2' },
      status: 403,
      code: 'API_KEY_REVOKED',
    });
    expect(lines).toEqual([
      '\nSomebody asks',
      `   > POST ${url}`,
      '   > x-api-key: [masked]',
      '   > {"username":"admin","password":"[masked]"}',
      '   < 403 {"code":"API_KEY_REVOKED","secret":"[masked]","detail":"[masked]"}',
    ]);
  });

  it('stops at an answer that is not the one expected', async () => {
    const narrator = createNarrator(() => undefined);
    await expect(narrator.ask('Somebody asks', { url, status: 200 })).rejects.toThrow(
      `Expected 200 from ${url}, got 403 API_KEY_REVOKED`,
    );
    const step = { url, status: 403, code: 'API_KEY_INVALID' };
    await expect(narrator.ask('Somebody asks', step)).rejects.toThrow(
      `Expected 403 API_KEY_INVALID from ${url}, got 403 API_KEY_REVOKED`,
    );
  });
});
