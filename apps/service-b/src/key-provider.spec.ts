import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import request from 'supertest';
import {
  createSecretsManagerServer,
  createVaultServer,
  CREDENTIALS,
} from '../../../test/support/secret-stores.js';
import { sendJson, sendProblem } from '../../../test/support/stub-server.js';
import { createServiceB, createSurroundings, type Surroundings } from './testing/service-b.js';

const keyOf = (letter: string) => `kw_live_3kTMd7QpXvB2nYcF_${letter.repeat(49)}`;
const [oldKey, newKey] = [keyOf('O'), keyOf('N')];

describe('where service-b has its key from', () => {
  let around: Surroundings;
  const closing: (() => Promise<unknown>)[] = [];
  const start = async (env: Record<string, string>): Promise<NestFastifyApplication> => {
    const app = await createServiceB({ ...around.env, ...env });
    closing.push(() => app.close());
    return app;
  };
  const get = async (app: NestFastifyApplication, path: string) =>
    request(app.getHttpServer())
      .get(path)
      .auth(await around.token({ roles: ['admin'] }), { type: 'bearer' });

  /** service-a refuses the old key from now on. */
  const retire = () =>
    around.serviceA.routes({
      'GET /v1/reports': ({ headers }, response) =>
        headers['x-api-key'] === newKey
          ? sendJson(response, 200, { data: [], nextCursor: null })
          : sendProblem(response, 403, 'API_KEY_SUPERSEDED'),
    });

  beforeEach(async () => {
    around = await createSurroundings();
    around.serviceA.routes({
      'GET /v1/reports': (_seen, response) =>
        sendJson(response, 200, { data: [], nextCursor: null }),
    });
  });
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
    await around.close();
  });

  it('is Vault: it follows a rotation there, and tells where its key is from', async () => {
    const vault = await createVaultServer();
    closing.push(() => vault.close());
    vault.put('team/service-b', { apiKey: oldKey });
    const folder = await mkdtemp(join(tmpdir(), 'service-b-'));
    closing.push(() => rm(folder, { recursive: true }));
    const idFile = join(folder, 'secret-id');
    await writeFile(idFile, `${vault.role.secret_id}\n`);
    const app = await start({
      SERVICE_B_KEY_PROVIDER: 'vault',
      SERVICE_B_VAULT_ADDRESS: vault.url,
      SERVICE_B_VAULT_PATH: 'team/service-b',
      SERVICE_B_VAULT_FIELD: 'apiKey',
      SERVICE_B_VAULT_ROLE_ID: vault.role.role_id,
      SERVICE_B_VAULT_SECRET_ID_FILE: idFile,
    });
    expect((await get(app, '/v1/summary')).status).toBe(200);
    const before = (await get(app, '/v1/key-status')).body as { secretVersion: string };
    expect(before).toEqual({
      configured: true,
      keyId: 'key_3kTMd7QpXvB2nYcF',
      secretVersion: expect.stringMatching(/^[0-9a-f]{8}$/) as string,
      source: 'vault',
      refreshedAt: expect.any(String) as string,
    });
    vault.put('team/service-b', { apiKey: newKey });
    retire();
    expect((await get(app, '/v1/summary')).status).toBe(200);
    const after = (await get(app, '/v1/key-status')).body as { secretVersion: string };
    expect(after.secretVersion).not.toBe(before.secretVersion);
  });

  it('is AWS Secrets Manager, by the credentials that its SDK finds', async () => {
    const aws = await createSecretsManagerServer();
    closing.push(() => aws.close());
    aws.put('service-b', JSON.stringify({ key: oldKey }));
    process.env['AWS_ACCESS_KEY_ID'] = CREDENTIALS.accessKeyId;
    process.env['AWS_SECRET_ACCESS_KEY'] = CREDENTIALS.secretAccessKey;
    closing.push(async () => {
      delete process.env['AWS_ACCESS_KEY_ID'];
      delete process.env['AWS_SECRET_ACCESS_KEY'];
    });
    const app = await start({
      SERVICE_B_KEY_PROVIDER: 'aws',
      SERVICE_B_AWS_SECRET_ID: 'service-b',
      SERVICE_B_AWS_FIELD: 'key',
      SERVICE_B_AWS_REGION: 'eu-central-1',
      SERVICE_B_AWS_ENDPOINT: aws.url,
    });
    expect((await get(app, '/v1/summary')).status).toBe(200);
    aws.put('service-b', JSON.stringify({ key: newKey }));
    retire();
    expect((await get(app, '/v1/summary')).status).toBe(200);
    expect((await get(app, '/v1/key-status')).body).toMatchObject({ source: 'aws' });
  });

  it('is a place that may be away: nobody is told more than that', async () => {
    const vault = await createVaultServer();
    vault.outage = 503;
    closing.push(() => vault.close());
    const app = await start({
      SERVICE_B_KEY_PROVIDER: 'vault',
      SERVICE_B_VAULT_ADDRESS: vault.url,
      SERVICE_B_VAULT_PATH: 'team/service-b',
      SERVICE_B_VAULT_TOKEN: 'hvs.root',
    });
    const away = { status: 503, code: 'SERVICE_UNAVAILABLE' };
    expect((await get(app, '/v1/summary')).body).toMatchObject(away);
    const status = await get(app, '/v1/key-status');
    expect(status.body).toMatchObject(away);
    expect(status.text).not.toContain(new URL(vault.url).port);
    vault.outage = null;
    vault.put('team/service-b', { key: oldKey });
    expect((await get(app, '/v1/summary')).status).toBe(200);
  });

  it.each([
    ['file', {}, /SERVICE_B_API_KEY_FILE: set this$/],
    ['aws', {}, /SERVICE_B_AWS_SECRET_ID: set this$/],
    ['vault', {}, /ADDRESS: set this[^]*PATH: set this[^]*_TOKEN: set this or SERVICE_B_VAULT/],
    ['env', {}, /SERVICE_B_API_KEY: set this or SERVICE_B_API_KEY_FILE$/],
  ])('is not %s without what that needs: it does not start', async (provider, env, says) => {
    await expect(start({ ...env, SERVICE_B_KEY_PROVIDER: provider })).rejects.toThrow(says);
  });
});
