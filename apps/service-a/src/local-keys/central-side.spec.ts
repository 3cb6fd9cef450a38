import {
  createStubServer,
  sendJson,
  type StubServer,
} from '../../../../test/support/stub-server.js';
import { OddAnswer } from '#key-guard';
import { createUpstream } from '../upstream.js';
import { CentralSide } from './central-side.js';

const BUSY = { type: 'about:blank', title: 'Busy', status: 503, code: 'SERVICE_UNAVAILABLE' };
let keyService: StubServer;
let side: CentralSide;
const sideWith = (graceMs: number) => {
  const upstream = (timeoutMs: number) =>
    createUpstream({ name: 'The key service', urls: [keyService.url], timeoutMs });
  return new CentralSide({
    ...{ keyService: upstream(100), alone: upstream(20_000) },
    ...{ token: () => Promise.resolve('token'), graceMs },
  });
};
beforeEach(async () => {
  keyService = await createStubServer({});
  side = sideWith(60_000);
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

it('goes by the mode, and bears silence, no longer than the grace where the clock is set back meanwhile', async () => {
  side = sideWith(300);
  keyService.routes({
    'GET /v1/migration': (_seen, response) =>
      sendJson(response, 200, { service: 'service-a', mode: 'dual' }),
  });
  await side.start();
  const { now } = Date;
  const hang = () => undefined;
  keyService.routes({ 'GET /v1/migration': hang, 'POST /v1/keys/verify': hang });
  await expect(side.verify({ key: 'any', environment: 'live' })).rejects.toThrow('cannot answer');
  expect(side.isWithinGrace).toBe(true);
  Date.now = () => now() - 3_600_000;
  try {
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect([side.mode, side.isWithinGrace]).toEqual(['unknown', false]);
  } finally {
    Date.now = now;
  }
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
  const question = { key: 'any', environment: 'live' } as const;
  await expect(side.verify(question)).rejects.toThrow('cannot answer');
  await expect(side.verify(question, true)).resolves.toMatchObject({ code: 'NOT_FOUND' });
});

const valid = {
  ...{ valid: true, code: 'VALID', keyId: 'key_3kTMd7QpXvB2nYcF', secretNumber: 1 },
  ...{ consumer: 'service-b', environment: 'live', scopes: ['reports:read'], expiresAt: null },
  decision: { source: 'store', asOf: '2027-01-31T12:00:00Z', ttlSeconds: 0, version: 1 },
};

it.each<[string, unknown]>([
  ['no verdict', { ok: true }],
  ['no JSON', 'VALID'],
  ['of two minds', { ...valid, valid: false }],
  ['without the scope', { ...valid, scopes: [] }],
  ['of the other environment', { ...valid, environment: 'test' }],
  ['about nobody', { ...valid, consumer: undefined }],
])('takes nothing for a verdict that is %s', async (_what, answer) => {
  let said: unknown = valid;
  keyService.routes({ 'POST /v1/keys/verify': (_seen, response) => sendJson(response, 200, said) });
  const ask = () =>
    side.verify({ key: 'any', scopes: ['reports:read'], environment: 'live' }, true);
  await expect(ask()).resolves.toMatchObject({ code: 'VALID' });
  said = answer;
  await expect(ask()).rejects.toBeInstanceOf(OddAnswer);
});
