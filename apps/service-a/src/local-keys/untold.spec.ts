import type { AddressInfo } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { pino } from 'pino';
import { createApp, parseConfig } from '#server';
import { sendJson } from '../../../../test/support/stub-server.js';
import { appOptions } from '../app-options.js';
import { serviceAEnv } from '../config.js';
import { startLocalService, type LocalService } from './testing.js';

let service: LocalService;
const beside: NestFastifyApplication[] = [];

beforeAll(async () => {
  service = await startLocalService();
  service.around.keyService.routes({
    'GET /v1/migration': (_seen, response) =>
      sendJson(response, 200, { service: 'service-a', mode: 'dual' }),
  });
});
afterAll(async () => {
  await Promise.all(beside.map((app) => app.close()));
  await service?.stop();
});

const provision = async (): Promise<string> => {
  const body = { name: 'Key', consumer: 'service-b', scopes: ['reports:read'] };
  const made = await service.call('/v1/api-keys', { token: service.admin, body });
  return (made.body['key'] as { id: string }).id;
};

/** Another one on the same store, what it logs, and what it says of its readiness. */
async function startBeside(keys: 'central' | 'dual') {
  const lines: { level: number; msg: string }[] = [];
  const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line) as never) });
  const config = parseConfig(serviceAEnv, { ...service.env, SERVICE_A_KEYS: keys });
  const app = await createApp(appOptions(config, log));
  beside.push(app);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const ready = async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/health/ready`);
    return [answer.status, (await answer.json()) as object] as const;
  };
  const warnings = () => lines.filter((one) => one.level >= 40).map((one) => one.msg);
  return { ready, warnings };
}

it.each(['central', 'dual'] as const)(
  'a service-a whose key service was not told of all own keys says so at its start, in mode %s',
  async (keys) => {
    const note =
      'Own keys differ from what the key service has: 1 changed here since the key service was told of them, ' +
      '2 never handed over to it; hand over (docs/migration.md)';
    await service.postgres.query('TRUNCATE service_a.key CASCADE');
    const [changed, told] = [
      await provision(),
      await provision(),
      await provision(),
      await provision(),
    ];
    await service.postgres.query(
      `INSERT INTO service_a.handed_over (key_id, version, secret) VALUES ($1, 1, 1), ($2, 1, 1)`,
      [changed, told],
    );
    const revoke = { token: service.admin, body: { reason: 'leaked' } };
    expect((await service.call(`/v1/api-keys/${changed}/revoke`, revoke)).status).toBe(200);
    const { ready, warnings } = await startBeside(keys);
    while (warnings().length === 0) await new Promise((go) => setImmediate(go));
    expect(warnings()).toEqual([note]);
    // anybody may ask whether it is ready
    expect(await ready()).toEqual([200, { status: 'ok' }]);
  },
);

it('one whose key service has them all says nothing', async () => {
  await service.postgres.query('TRUNCATE service_a.key CASCADE');
  const { ready, warnings } = await startBeside('dual');
  expect([await ready(), warnings()]).toEqual([[200, { status: 'ok' }], []]);
});
