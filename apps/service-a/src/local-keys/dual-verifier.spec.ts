import { randomBytes } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { AddressInfo } from 'node:net';
import type { IssuedKey, Verdict } from '#contracts';
import { makeKeyText, parseKeyText } from '#key-core';
import { sendJson } from '../../../../test/support/stub-server.js';
import { createServiceA } from '../testing/service-a.js';
import { startLocalService, type LocalService } from './testing.js';

let service: LocalService;
let dual: NestFastifyApplication;
let url: string;
/** A key that only the key service knows, and one that only the own store knows. */
let theirs: string;
let own: IssuedKey;
let said: unknown;

beforeAll(async () => {
  service = await startLocalService();
  const body = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
  const made = await service.call('/v1/api-keys', {
    token: service.admin,
    body: { ...body, expiresInSeconds: 600 },
  });
  own = made.body as unknown as IssuedKey;
  theirs = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes).text;
  service.around.keyService.routes({
    'GET /v1/migration': (_seen, response) =>
      sendJson(response, 200, { service: 'service-a', mode: 'dual' }),
    'POST /v1/keys/verify': (_seen, response) => sendJson(response, 200, said),
  });
  dual = await createServiceA({ ...service.env, SERVICE_A_KEYS: 'dual' });
  await dual.listen(0, '127.0.0.1');
  url = `http://127.0.0.1:${(dual.getHttpServer().address() as AddressInfo).port}`;
});
afterAll(async () => {
  await dual?.close();
  await service?.stop();
});

const decision = () =>
  ({ source: 'store', asOf: new Date().toISOString(), ttlSeconds: 0, version: 1 }) as const;
const validOf = (key: string): Verdict => ({
  ...{
    valid: true,
    code: 'VALID',
    keyId: parseKeyText(key)!.keyId,
    secretNumber: 1,
    consumer: 'service-b',
  },
  ...{ environment: 'live', scopes: ['reports:read'], expiresAt: null, decision: decision() },
});
const reports = async (key: string) => {
  const answer = await fetch(`${url}/v1/reports`, { headers: { 'x-api-key': key } });
  const { code } = (await answer.json()) as { code?: string };
  return [answer.status, code];
};
const past = new Date(Date.now() - 70_000).toISOString();

describe('an answer of the key service while keys move', () => {
  it('opens where it is one', async () => {
    for (const key of [theirs, own.secret]) {
      said = validOf(key);
      await expect(reports(key)).resolves.toEqual([200, undefined]);
    }
  });

  it.each<[string, object]>([
    ['is not valid though its code says so', { valid: false }],
    ['is valid though its code refuses', { code: 'DISABLED' }],
    ['has a code that there is not', { code: 'PERHAPS' }],
    ['is about another key', { keyId: 'key_3kTMd7QpXvB2nYcF' }],
    ['lacks the scope', { scopes: ['reports:write'] }],
    ['is of the other environment', { environment: 'test' }],
    ['has expired', { expiresAt: past }],
    ['came with a secret that has ended', { rotation: { superseded: true, validUntil: past } }],
    ['names no key', { keyId: undefined }],
    ['names no consumer', { consumer: undefined }],
    ['says nothing of how it was decided', { decision: undefined }],
    ['says nothing but that it is valid', bareBut({ valid: true })],
    ['says nothing at all', bareBut({ code: undefined })],
  ])('is 503 and opens nothing where it %s', async (_what, more) => {
    for (const key of [theirs, own.secret]) {
      said = { ...validOf(key), ...more };
      await expect(reports(key)).resolves.toEqual([503, 'VERIFICATION_UNAVAILABLE']);
    }
  });
});

it('asks the key service for no lease on behalf of who asks here', async () => {
  const claims = { sub: 'svc', client_id: 'svc', scope: 'keys:verify', roles: [] };
  const token = await service.around.token(claims);
  said = validOf(theirs);
  const { seen } = service.around.keyService;
  const before = seen.length;
  const answer = await fetch(`${url}/v1/keys/verify`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ key: theirs, lease: { permits: 5, counted: true } }),
  });
  expect(await answer.json()).toEqual(said);
  const asked = seen.slice(before).filter(({ path }) => path === '/v1/keys/verify');
  expect(asked.map(({ body }) => body)).toEqual([{ key: theirs, environment: 'live' }]);
});

/** All members but these left out, when spread over a verdict. */
function bareBut(members: object): object {
  const none = { keyId: undefined, secretNumber: undefined, consumer: undefined };
  return { ...none, environment: undefined, scopes: undefined, expiresAt: undefined, ...members };
}
