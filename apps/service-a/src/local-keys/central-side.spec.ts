import {
  createStubServer,
  sendJson,
  type StubServer,
} from '../../../../test/support/stub-server.js';
import { createUpstream } from '../upstream.js';
import { CentralSide } from './central-side.js';

const BUSY = { type: 'about:blank', title: 'Busy', status: 503, code: 'SERVICE_UNAVAILABLE' };
let keyService: StubServer;
let side: CentralSide;
beforeEach(async () => {
  keyService = await createStubServer({});
  const upstream = (timeoutMs: number) =>
    createUpstream({ name: 'The key service', urls: [keyService.url], timeoutMs });
  side = new CentralSide({
    ...{ keyService: upstream(100), alone: upstream(20_000) },
    ...{ token: () => Promise.resolve('token'), graceMs: 60_000, now: Date.now },
  });
});
afterEach(async () => {
  await side.stop();
  await keyService.close();
});

it('knows the mode when it has started, also where the key service was busy at first', async () => {
  let asked = 0;
  keyService.routes({
    'GET /v1/migration': (_seen, response) => {
      asked += 1;
      if (asked <= 6) sendJson(response, 503, BUSY);
      else sendJson(response, 200, { service: 'service-a', mode: 'dual' });
    },
  });
  await side.start();
  expect(side.mode).toBe('dual');
});

it('waits longer for a verdict that nobody else can give', async () => {
  const verdict = {
    ...{ valid: false, code: 'NOT_FOUND' },
    decision: { source: 'store', asOf: new Date().toISOString(), ttlSeconds: 0, version: 0 },
  };
  keyService.routes({
    'POST /v1/keys/verify': (_seen, response) =>
      void setTimeout(() => sendJson(response, 200, verdict), 300),
  });
  const question = { key: 'any', scopes: [] };
  await expect(side.verify(question)).rejects.toThrow('cannot answer');
  await expect(side.verify(question, true)).resolves.toMatchObject({ code: 'NOT_FOUND' });
});
