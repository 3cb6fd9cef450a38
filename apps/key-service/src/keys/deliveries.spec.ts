import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Delivered, DeliveredKey, DeliveredRotation } from '#contracts';
import {
  createSecretsManagerServer,
  createVaultServer,
  CREDENTIALS,
  type SecretsManagerServer,
  type VaultServer,
} from '../../../../test/support/secret-stores.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';

const AWS_VARIABLES = {
  AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
};
const path = 'keys/service-b';
const vaulted = { provider: 'vault', path };

let management: ManagementApp;
let world: Seed;
let vault: VaultServer;
let aws: SecretsManagerServer;
let folder: string;
let now: () => number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'deliveries-'));
  [vault, aws] = await Promise.all([createVaultServer(), createSecretsManagerServer()]);
  Object.assign(process.env, AWS_VARIABLES);
  management = await startManagement(undefined, { DELIVERY_TARGETS: await writeTargets() });
  world = await seed(management);
  ({ now } = management.material);
});
beforeEach(() => {
  vault.tokens = new Set(['hvs.platform']);
  Object.assign(vault, { outage: null, losesAnswers: false, beforeWrite: () => undefined });
  vault.secrets.clear();
  aws.failing = null;
  management.material.now = now;
});
afterAll(async () => {
  for (const name of Object.keys(AWS_VARIABLES)) delete process.env[name];
  await management.stop();
  await Promise.all([vault.close(), aws.close(), rm(folder, { recursive: true })]);
});

async function writeTargets(): Promise<string> {
  const token = join(folder, 'token');
  await writeFile(token, 'hvs.platform\n');
  const targets = {
    file: { type: 'file', directory: join(folder, 'keys'), allow: ['{consumer}.key', 'shared/'] },
    vault: {
      type: 'vault',
      address: vault.url,
      auth: { tokenFile: token },
      allow: ['keys/{consumer}'],
    },
    aws: { type: 'aws', region: 'eu-central-1', endpoint: aws.url, allow: ['keys/{consumer}/'] },
    narrow: {
      type: 'vault',
      address: vault.url,
      auth: { tokenFile: token },
      allow: ['keys/'],
      services: ['service-x'],
    },
  };
  const file = join(folder, 'targets.json');
  await writeFile(file, JSON.stringify(targets));
  return file;
}

const create = (deliverTo: object, once?: string, over: object = {}) => {
  const call = management.call('post', '/v1/keys', world.admin);
  if (once !== undefined) void call.set('idempotency-key', once);
  return call.send({ ...keyBody(), ...over, deliverTo });
};
const rotate = (id: string, deliverTo: object | undefined, over: object = {}) =>
  management
    .call('post', `/v1/keys/${id}/rotate`, world.admin)
    .send({ ...over, ...(deliverTo && { deliverTo }) });
const inVault = () => vault.secrets.get(path)?.at(-1)?.data?.['key'] as string;
const actionsOf = async (id: string) => {
  const rows = await management.postgres.owner.query<{ action: string; after: unknown }[]>(
    `SELECT action, after FROM keys.change_log WHERE target_id = $1 ORDER BY seq`,
    [id],
  );
  return rows;
};
const newest = async () => {
  const [row] = await management.postgres.owner.query<[{ id: string; state: string }]>(
    'SELECT id, state FROM keys.key ORDER BY seq DESC LIMIT 1',
  );
  return row;
};

test.each([
  [{ provider: 'file', path: 'service-b.key' }, () => readText('service-b.key')],
  [{ provider: 'file', path: 'shared/team/one.key' }, () => readText('shared/team/one.key')],
  [vaulted, () => Promise.resolve(inVault())],
  [
    { provider: 'aws', path: 'keys/service-b/live', field: 'apiKey' },
    () => Promise.resolve(keyInAws('keys/service-b/live')),
  ],
])('a new key goes straight to %j, and nobody sees it', async (deliverTo, find) => {
  const answer = await create(deliverTo);
  expect(answer.status).toBe(201);
  const { key, delivered } = answer.body as DeliveredKey;
  expect(answer.body).toEqual({ key, delivered });
  expect(delivered).toEqual({
    provider: deliverTo.provider,
    path: deliverTo.path,
    version: expect.any(String) as string,
  });
  const secret = await find();
  expect(await world.codeOf(secret)).toBe('VALID');
  const rows = await actionsOf(key.id);
  expect(rows.map((one) => one.action)).toEqual(['key.created', 'key.delivered']);
  expect(rows[0]?.after).toMatchObject({ deliverTo });
  expect(rows[1]?.after).toEqual({ secret: 1, deliverTo, version: delivered.version });
  expect(JSON.stringify([rows, answer.body])).not.toContain(secret.slice(-40));
  expect(answer.headers['location']).toBe(`/v1/keys/${key.id}`);
});

test('a new secret is good before anybody can read it, and the old one ends after that', async () => {
  const { key } = (await create(vaulted)).body as DeliveredKey;
  const old = inVault();
  const meanwhile: unknown[] = [];
  vault.beforeWrite = async (data) => {
    for (const text of [data['key'] as string, old]) meanwhile.push(await world.codeOf(text));
  };
  const answer = await rotate(key.id, vaulted, { overlapSeconds: 0 });
  const rotated = answer.body as DeliveredRotation;
  expect([answer.status, meanwhile]).toEqual([200, ['VALID', 'VALID']]);
  expect(rotated).toEqual({
    key: { ...rotated.key, id: key.id, version: 3 },
    delivered: { provider: 'vault', path, version: '2' },
    previous: { validUntil: rotated.previous.validUntil },
  });
  expect([await world.codeOf(inVault()), await world.codeOf(old)]).toEqual(['VALID', 'SUPERSEDED']);
  expect(answer.headers['keyward-propagation']).toBe('confirmed');
});

test('the overlap of a rotation begins when the new secret has arrived', async () => {
  const { key } = (await create(vaulted)).body as DeliveredKey;
  const start = now();
  vault.beforeWrite = () => {
    management.material.now = () => now() + 100_000;
  };
  const { previous, key: rotated } = (await rotate(key.id, vaulted, { overlapSeconds: 60 }))
    .body as DeliveredRotation;
  expect(Date.parse(previous.validUntil)).toBeGreaterThanOrEqual(start + 160_000);
  expect(rotated.rotation).toEqual({
    state: 'overlapping',
    previousValidUntil: previous.validUntil,
  });
});

describe.each([
  ['is refused', () => vault.tokens.clear(), { status: 502, code: 'DELIVERY_FAILED' }],
  ['meets an outage', () => (vault.outage = 503), { status: 503, code: 'DELIVERY_UNAVAILABLE' }],
])('a delivery that %s', (_what, fail, problem) => {
  test('leaves no key that works, and the Idempotency-Key free', async () => {
    const once = `create-${problem.status}`;
    fail();
    const answer = await create(vaulted, once);
    expect(problemIn(answer)).toEqual(problem);
    expect((answer.body as { detail: string }).detail).toMatch(/^vault .*; nothing was changed$/);
    const { id, state } = await newest();
    expect(state).toBe('revoked');
    const actions = (await actionsOf(id)).map((one) => one.action);
    expect(actions).toEqual(['key.created', 'key.revoked']);
    Object.assign(vault, { tokens: new Set(['hvs.platform']), outage: null });
    expect((await create(vaulted, once)).status).toBe(201);
    expect(await world.codeOf(inVault())).toBe('VALID');
  });

  test('leaves the old secret of a rotated key as it was, and takes the new one back', async () => {
    const { key } = (await create(vaulted)).body as DeliveredKey;
    const old = inVault();
    fail();
    expect(problemIn(await rotate(key.id, vaulted, { overlapSeconds: 0 }))).toEqual(problem);
    expect(await world.codeOf(old)).toBe('VALID');
    expect(await world.count('secret', `key_id = '${key.id}'`)).toBe(1);
    const { body } = await management.call('get', `/v1/keys/${key.id}`, world.admin);
    expect(body).toMatchObject({ status: 'active', rotation: null, version: 3 });
    const actions = (await actionsOf(key.id)).map((one) => one.action);
    expect(actions.slice(2)).toEqual(['key.rotated', 'key.delivery_failed']);
    Object.assign(vault, { tokens: new Set(['hvs.platform']), outage: null });
    expect((await rotate(key.id, vaulted)).status).toBe(200);
    expect([await world.codeOf(inVault()), await world.codeOf(old)]).toEqual(['VALID', 'VALID']);
  });
});

test('a place that took the secret and lost its answer is asked, and the delivery stands', async () => {
  const { key } = (await create(vaulted)).body as DeliveredKey;
  vault.losesAnswers = true;
  const answer = await rotate(key.id, vaulted);
  expect([answer.status, (answer.body as { delivered: Delivered }).delivered]).toEqual([
    200,
    { ...vaulted, version: null },
  ]);
  expect(await world.codeOf(inVault())).toBe('VALID');
});

test('what AWS refuses is not delivered either', async () => {
  aws.failing = { name: 'AccessDeniedException', status: 400 };
  const answer = await create({ provider: 'aws', path: 'keys/service-b/live' });
  expect(problemIn(answer)).toEqual({ status: 502, code: 'DELIVERY_FAILED' });
  expect((await newest()).state).toBe('revoked');
});

test.each([
  ['keys/service-b', { provider: 'vault', path: 'keys/service-a' }],
  ['service-b.key or shared/...', { provider: 'file', path: 'service-a.key' }],
  ['keys/service-b/...', { provider: 'aws', path }],
])('a refused place is told what would be right: %s', async (places, deliverTo) => {
  const detail = `This key may not be put there in ${deliverTo.provider}; use ${places}`;
  expect((await create(deliverTo)).body).toMatchObject({
    errors: [{ pointer: '/deliverTo/path', detail }],
  });
});

test.each([
  ['/deliverTo/provider', { provider: 'unknown', path }],
  ['/deliverTo/path', { provider: 'vault', path: 'keys/service-a' }],
  ['/deliverTo/path', { provider: 'vault', path: 'keys/service-b/more' }],
  ['/deliverTo/path', { provider: 'vault', path: 'sys/policy' }],
  ['/deliverTo/path', { provider: 'vault', path: 'keys/../keys/service-b' }],
  ['/deliverTo/path', { provider: 'vault', path: '/keys/service-b' }],
  ['/deliverTo/path', { provider: 'vault', path: 'keys%2fservice-b' }],
  ['/deliverTo/path', { provider: 'file', path: '../service-b.key' }],
  ['/deliverTo/path', { provider: 'file', path: 'shared/.ssh/authorized_keys' }],
  ['/deliverTo/provider', { provider: 'narrow', path }],
  ['/deliverTo/field', { provider: 'file', path: 'service-b.key', field: 'key' }],
  ['/deliverTo/field', { provider: 'vault', path, field: 'a/b' }],
  ['/deliverTo/address', { provider: 'vault', path, address: 'http://169.254.169.254/' }],
  ['/deliverTo/provider', { path }],
])('is refused at %s: %j', async (pointer, deliverTo) => {
  const before = [await world.count('key'), vault.seen.length];
  expect(problemIn(await create(deliverTo))).toEqual({
    status: 400,
    code: 'INVALID_REQUEST',
    pointers: [pointer],
  });
  expect([await world.count('key'), vault.seen.length]).toEqual(before);
});

test('a holder has no say in where secrets are put', async () => {
  await create(vaulted);
  const answer = await management
    .call('post', '/v1/self/rotate', null)
    .set('x-api-key', inVault())
    .send({ deliverTo: vaulted });
  expect(problemIn(answer)).toMatchObject({ status: 400, pointers: ['/deliverTo'] });
});

test('under an Idempotency-Key it is delivered once, and who asks meanwhile is told to look', async () => {
  let meanwhile: unknown;
  vault.beforeWrite = async () => {
    meanwhile ??= problemIn(await create(vaulted, 'once'));
  };
  const first = await create(vaulted, 'once');
  expect([first.status, meanwhile]).toEqual([201, { status: 409, code: 'CONFLICT' }]);
  const again = await create(vaulted, 'once');
  expect([again.status, again.text]).toEqual([201, first.text]);
  expect(again.headers['idempotency-replayed']).toBe('true');
  expect(vault.secrets.get(path)).toHaveLength(1);
  expect(await world.count('idempotency', `sealed_secret IS NOT NULL`)).toBe(0);
});

test('a rotation whose process died before the delivery was confirmed is made good by the next one', async () => {
  const { key } = (await create(vaulted)).body as DeliveredKey;
  const old = inVault();
  expect((await unconfirmed(key.id)).status).toBe(503);
  const lost = inVault();
  expect([await world.codeOf(old), await world.codeOf(lost)]).toEqual(['VALID', 'VALID']);
  expect(problemIn(await rotate(key.id, vaulted))).toEqual({ status: 409, code: 'CONFLICT' });
  management.material.now = () => now() + 61_000;
  expect((await rotate(key.id, vaulted)).status).toBe(200);
  const codes = await Promise.all([old, lost, inVault()].map((text) => world.codeOf(text)));
  expect(codes).toEqual(['VALID', 'NOT_FOUND', 'VALID']);
  expect(problemIn(await rotate(key.id, vaulted))).toEqual({ status: 409, code: 'CONFLICT' });
});

test('a secret that could not be delivered and cannot be taken back, as the old one was ended meanwhile, is told', async () => {
  const { key } = (await create(vaulted)).body as DeliveredKey;
  const old = inVault();
  vault.beforeWrite = async () => {
    await management.call('post', `/v1/keys/${key.id}/rotation/finish`, world.admin).send({});
    // somebody else is faster, again and again
    vault.put(path, { key: 'another' });
  };
  const answer = await rotate(key.id, vaulted);
  expect(problemIn(answer)).toEqual({ status: 502, code: 'DELIVERY_FAILED' });
  const { detail } = answer.body as { detail: string };
  expect(detail).toContain(
    `the key ${key.id} has a secret that nobody has, so rotate or revoke it`,
  );
  expect(await world.codeOf(old)).toBe('SUPERSEDED');
  const actions = (await actionsOf(key.id)).map((one) => one.action);
  expect(actions.at(-1)).toBe('key.delivery_failed');
  vault.beforeWrite = () => undefined;
  expect((await rotate(key.id, vaulted)).status).toBe(200);
});

test('a delivery that was overtaken by a revocation brings no key back', async () => {
  const { key } = (await create(vaulted)).body as DeliveredKey;
  vault.beforeWrite = async () => {
    const revoke = management.call('post', `/v1/keys/${key.id}/revoke`, world.admin);
    await revoke.send({ reason: 'leaked' });
  };
  const answer = await rotate(key.id, vaulted);
  expect((answer.body as DeliveredRotation).key.status).toBe('revoked');
  expect(await world.codeOf(inVault())).toBe('REVOKED');
});

/** A rotation that is delivered, and then loses its connection to PostgreSQL before that is on record. */
async function unconfirmed(id: string) {
  const { owner } = management.postgres;
  const runner = owner.createQueryRunner();
  vault.beforeWrite = async () => {
    await runner.startTransaction();
    await runner.query('SELECT FROM keys.key WHERE id = $1 FOR UPDATE', [id]);
  };
  const dying = rotate(id, vaulted).then((answer) => answer);
  await owner.query('SELECT pg_terminate_backend($1)', [await whoWaits()]);
  const answer = await dying;
  await runner.rollbackTransaction();
  await runner.release();
  vault.beforeWrite = () => undefined;
  return answer;
}

async function whoWaits(): Promise<number> {
  for (;;) {
    const [waiting] = await management.postgres.owner.query<{ pid: number }[]>(
      `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
    );
    if (waiting) return waiting.pid;
  }
}

function readText(name: string): Promise<string> {
  return readFile(join(folder, 'keys', name), 'utf8').then((text) => text.trim());
}

function keyInAws(name: string): string {
  const { SecretString } = aws.secrets.get(name)!.at(-1)!;
  return (JSON.parse(SecretString!) as { apiKey: string }).apiKey;
}
