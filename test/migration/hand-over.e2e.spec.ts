import { execFileSync } from 'node:child_process';
import type { Policy } from '#contracts';
import { moveImports } from '../../tools/local-keys/move.js';
import { takenOverText } from '../../tools/local-keys/taken-over-text.js';
import { createStubServer } from '../support/stub-server.js';
import { startMovingWorld, until, type MovingService, type MovingWorld } from './support/world.js';

let world: MovingWorld;
let service: MovingService;
beforeAll(async () => {
  world = await startMovingWorld();
  service = await world.start('local');
});
afterAll(() => world?.stop());

it('moving at an address that is no key service is an error, and not a service without imports', async () => {
  const other = await createStubServer();
  try {
    await expect(moveImports({ url: other.url, token: '' }, 'cutover')).rejects.toThrow('404');
  } finally {
    await other.close();
  }
});

it('moving a service without imports is an error that says so, as the key service does', async () => {
  await expect(world.moveByTool('shadow')).rejects.toThrow(
    'Nothing was moved: service-a has no imports',
  );
});

/** What the key service would say if it counted. */
const trialOf = async (key: string): Promise<string> =>
  (await world.replicas.ask(0, { key, dryRun: true })).body.code;

describe('handing over', () => {
  it('brings every key that lives, as its digest, and nothing twice', async () => {
    const [kept, ended] = [await service.issue(), await service.issue()];
    await service.post(`/v1/api-keys/${ended.key.id}/revoke`, { reason: 'retired' });
    expect(await world.handOver()).toMatchObject({ created: 1, failed: [] });
    expect(await world.handOver()).toMatchObject({ created: 0, unchanged: 0, rotated: 0 });
    await expect(trialOf(kept.secret)).resolves.toBe('VALID');
    await expect(world.centralCode(kept.secret)).resolves.toBe('NOT_FOUND');
    await expect(trialOf(ended.secret)).resolves.toBe('NOT_FOUND');
    const rows = await world.replicas.postgres.owner.query<{ row: string }[]>(
      'SELECT t::text AS row FROM keys.legacy_secret t',
    );
    expect(rows.some(({ row }) => row.includes(kept.secret))).toBe(false);
  });

  it('again tells what was rotated, revoked or disabled since, however far the service is', async () => {
    const rotated = await service.issue();
    const revoked = await service.issue();
    const disabled = await service.issue();
    expect(await world.handOver()).toMatchObject({ created: 3, failed: [] });
    const next = await service.rotate(rotated.key.id);
    await service.post(`/v1/api-keys/${revoked.key.id}/revoke`, { reason: 'leaked' });
    await world.own.query(
      `UPDATE service_a.key SET state = 'disabled', version = version + 1 WHERE id = '${disabled.key.id}'`,
    );
    await world.move('dual');
    await expect(world.centralCode(revoked.secret)).resolves.toBe('VALID');
    expect(await world.handOver()).toMatchObject({
      ...{ created: 0, rotated: 1, revoked: 1, disabled: 1, failed: [] },
    });
    await world.move('cutover');
    await until('VALID', () => world.centralCode(next.secret));
    await expect(world.centralCode(rotated.secret)).resolves.toBe('VALID');
    await expect(world.centralCode(revoked.secret)).resolves.toBe('REVOKED');
    await expect(world.centralCode(disabled.secret)).resolves.toBe('DISABLED');
    expect(await world.handOver()).toMatchObject({ rotated: 0, revoked: 0, disabled: 0 });
    await world.move('shadow');
  });

  it('amid a rotation brings both secrets, the earlier one until its end', async () => {
    const { key, secret } = await service.issue();
    const { secret: next, previous } = await service.rotate(key.id, 600);
    expect(await world.handOver()).toMatchObject({ created: 1, rotated: 1, failed: [] });
    expect(await world.handOver()).toMatchObject({ created: 0, unchanged: 0, rotated: 0 });
    await world.moveByTool('cutover');
    await until('VALID', () => world.centralCode(next));
    const earlier = await world.replicas.ask(0, { key: secret });
    expect(earlier.body).toMatchObject({ code: 'VALID', rotation: { superseded: true } });
    expect(earlier.body.rotation).toMatchObject(previous);
    await world.moveByTool('shadow');
  });

  it('after cutover brings of a key amid a rotation the newest secret alone, as the key service hears of no end then', async () => {
    await world.moveByTool('cutover');
    const { key, secret } = await service.issue();
    const { secret: next } = await service.rotate(key.id, 600);
    expect(await world.handOver()).toMatchObject({ created: 1, rotated: 0, failed: [] });
    await until('VALID', () => world.centralCode(next));
    await expect(world.centralCode(secret)).resolves.toBe('NOT_FOUND');
    await world.moveByTool('shadow');
  });

  it('that ends halfway has told of the rotations of those that it brought', async () => {
    const { key, secret } = await service.issue();
    const { secret: next } = await service.rotate(key.id, 600);
    const lost = await service.issue();
    const pepperOfLost = (version: string) =>
      world.own.query(
        `UPDATE service_a.secret SET pepper_version = ${version} WHERE key_id = '${lost.key.id}'`,
      );
    await pepperOfLost('pepper_version + 98');
    await expect(world.handOver()).rejects.toThrow('The pepper 99 cannot be opened');
    await until('VALID', () => trialOf(next));
    await expect(trialOf(secret)).resolves.toBe('VALID');
    await pepperOfLost('pepper_version - 98');
    await service.post(`/v1/api-keys/${lost.key.id}/revoke`, { reason: 'retired' });
  });

  it('of a key that was rotated twice since brings the newest secret, and ends what the key service had', async () => {
    const { key, secret } = await service.issue();
    await world.handOver();
    await service.rotate(key.id, 0);
    const newest = await service.rotate(key.id, 0);
    expect(await world.handOver()).toMatchObject({ rotated: 1, failed: [] });
    await until('VALID', () => trialOf(newest.secret));
    await expect(trialOf(secret)).resolves.toBe('SUPERSEDED');
  });

  it('again after the way back tells what was changed meanwhile, also of keys that the key service has made', async () => {
    const central = await world.seeded.issue();
    expect((await world.takeOver()).unknown).not.toContain(central.key.id);
    await expect(service.codeOf(central.secret)).resolves.toBe('200');
    const next = await service.rotate(central.key.id);
    expect(await world.handOver()).toMatchObject({ created: 0, rotated: 1, failed: [] });
    await until('VALID', () => trialOf(next.secret));
    await service.post(`/v1/api-keys/${central.key.id}/revoke`, { reason: 'leaked' });
    expect(await world.handOver()).toMatchObject({ revoked: 1 });
    await expect(world.centralCode(central.secret)).resolves.toBe('REVOKED');
  });

  it('after the way there, back and there again brings what is new, and has what was taken over, noted or not', async () => {
    const [first, central] = [await service.issue(), await world.seeded.issue()];
    expect((await world.handOver()).failed).toEqual([]);
    await world.move('cutover');
    await until('VALID', () => world.centralCode(first.secret));
    await world.takeOver();
    await world.move('shadow');
    // as a store that was taken over into before it noted what the key service has
    await world.own.query(`DELETE FROM service_a.handed_over WHERE key_id = '${central.key.id}'`);
    const second = await service.issue();
    expect(await world.handOver()).toMatchObject({ created: 1, unchanged: 1, failed: [] });
    expect(await world.handOver()).toMatchObject({ created: 0, unchanged: 0, failed: [] });
    await world.move('cutover');
    for (const { secret } of [first, central, second])
      await until('VALID', () => world.centralCode(secret));
    await world.move('shadow');
  });

  it('tells which secret of the key it is, and of a later one also after the key went there and back', async () => {
    const { key, secret } = await service.issue();
    await world.handOver();
    for (let i = 0; i < 3; i += 1) await service.rotate(key.id, 0);
    const fifth = await service.rotate(key.id, 0);
    expect(await world.handOver()).toMatchObject({ rotated: 1, failed: [] });
    const numbers = `SELECT source_number FROM keys.key WHERE id = '${key.id}'`;
    const { owner } = world.replicas.postgres;
    expect(await owner.query<object[]>(numbers)).toEqual([{ source_number: 5 }]);
    // used there, so that the export knows it; the one before has ended
    await world.move('cutover');
    await until('VALID', () => world.centralCode(fifth.secret));
    await expect(world.centralCode(secret)).resolves.toBe('SUPERSEDED');
    await world.manage(`/v1/keys/${key.id}/rotation/finish`).catch(() => undefined);
    await world.takeOver();
    await world.move('shadow');
    const next = await service.rotate(key.id, 0);
    expect(await world.handOver()).toMatchObject({ rotated: 1, failed: [] });
    await until('VALID', () => trialOf(next.secret));
    await expect(trialOf(fifth.secret)).resolves.toBe('SUPERSEDED');
  });

  it('is part of each move on, so that a key that was revoked last does not open again; where it fails nothing is moved', async () => {
    const { key, secret } = await service.issue();
    await world.handOver();
    await service.post(`/v1/api-keys/${key.id}/revoke`, { reason: 'leaked' });
    await world.moveByTool('cutover');
    await until('REVOKED', () => world.centralCode(secret));
    await world.moveByTool('shadow');
    const odd = await service.issue();
    await world.own.query(
      `UPDATE service_a.key SET consumer = 'No Slug' WHERE id = '${odd.key.id}'`,
    );
    await expect(world.moveByTool('cutover')).rejects.toThrow('Nothing was moved');
    await expect(trialOf(secret)).resolves.toBe('REVOKED');
    await expect(world.centralCode(secret)).resolves.toBe('NOT_FOUND');
    await world.own.query(
      `UPDATE service_a.key SET consumer = 'service-b' WHERE id = '${odd.key.id}'`,
    );
  });

  it('brings a key whose words were kept before such as they were refused, its new secret and its end', async () => {
    const { key, secret } = await service.issue();
    const name = '\u200b\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}\u202e';
    await world.own.query(
      `UPDATE service_a.key SET name = $2, tags = $3, ip_allowlist = '{127.0.0.1/8}', metadata = $4 WHERE id = $1`,
      [key.id, name, ['\u3164'], { n: 9007199254740992 }],
    );
    expect((await world.handOver()).failed).toEqual([]);
    const { body } = await world.replicas.call('get', `/v1/keys/${key.id}`, world.seeded.admin);
    expect(body).toMatchObject({ name, tags: ['\u3164'], metadata: { n: 9007199254740992 } });
    await expect(
      world.replicas.ask(0, { key: secret, dryRun: true, clientIp: '127.9.9.9' }),
    ).resolves.toMatchObject({ body: { code: 'VALID' } });
    await service.rotate(key.id);
    expect(await world.handOver()).toMatchObject({ rotated: 1, failed: [] });
    await service.post(`/v1/api-keys/${key.id}/revoke`, { reason: 'leaked' });
    await world.own.query(`UPDATE service_a.key SET revocation_reason = $2 WHERE id = $1`, [
      key.id,
      name,
    ]);
    expect(await world.handOver()).toMatchObject({ revoked: 1, failed: [] });
    await expect(trialOf(secret)).resolves.toBe('REVOKED');
  });

  it('leaves alone what ended at the key service: taking over tells nothing back', async () => {
    const { key } = await service.issue();
    await world.handOver();
    await world.manage(`/v1/keys/${key.id}/revoke`, { reason: 'leaked' });
    expect((await world.takeOver()).ended).toBe(1);
    expect(await world.handOver()).toMatchObject({ revoked: 0, failed: [] });
  });
});

describe('a service in dual that is still in shadow', () => {
  it('tells the key service at once that a key was rotated or revoked there', async () => {
    const dual = await world.start('dual');
    await world.move('shadow');
    const [rotated, revoked] = [await dual.issue(), await dual.issue()];
    expect((await world.handOver()).failed).toEqual([]);
    const next = await dual.rotate(rotated.key.id);
    await expect(trialOf(next.secret)).resolves.toBe('VALID');
    await dual.post(`/v1/api-keys/${revoked.key.id}/revoke`, { reason: 'leaked' });
    await expect(trialOf(revoked.secret)).resolves.toBe('REVOKED');
    expect(await world.handOver()).toMatchObject({ rotated: 0, failed: [] });
  });

  it('lets keys pass while it tells a key service that is silent of many rotations', async () => {
    const issued = await Promise.all(Array.from({ length: 8 }, () => service.issue()));
    expect((await world.handOver()).failed).toEqual([]);
    await world.move('shadow');
    const dual = await world.start('dual');
    const good = await dual.issue();
    world.link.blackhole(true);
    const turns = Promise.all(issued.map(({ key }) => dual.rotate(key.id)));
    const ids = issued.map(({ key }) => `'${key.id}'`).join();
    const rotated = `SELECT count(*)::int AS count FROM service_a.secret WHERE number = 2 AND key_id IN (${ids})`;
    await until('8', async () =>
      String((await world.own.query<{ count: number }>(rotated))[0]!.count),
    );
    // each of them is being told of, or waits for that
    await new Promise((go) => setTimeout(go, 200));
    for (let i = 0; i < 10; i += 1) expect(await dual.codeOf(good.secret)).toBe('200');
    world.link.blackhole(false);
    await turns;
    expect((await world.handOver()).failed).toEqual([]);
    await expect(trialOf((await turns)[7]!.secret)).resolves.toBe('VALID');
  });

  it('rotates nothing at the key service that it has not been told of', async () => {
    const dual = await world.start('dual');
    const { key } = await service.issue();
    await world.handOver();
    await service.rotate(key.id, 0);
    const central = await world.seeded.issue();
    await world.move('dual');
    await until('200', () => dual.codeOf(central.secret));
    const path = `/v1/api-keys/${key.id}/rotate`;
    expect((await dual.post(path, {})).body).toMatchObject({ status: 409, code: 'CONFLICT' });
    await world.handOver();
    expect((await dual.post(path, { overlapSeconds: 0 })).status).toBe(200);
  });
});

describe('taking over', () => {
  const rule = (policy: Partial<Policy>) =>
    world.replicas
      .call('patch', '/v1/services/service-a', world.seeded.admin)
      .send({ policy })
      .expect(200);

  it('prints the policy of the key service as the setting by which the service goes on alone', async () => {
    await rule({ keyPrefix: 'moved', maxLifetimeSeconds: 5_000 });
    const printed = takenOverText(await world.takeOver()).split('\n');
    await rule({ keyPrefix: 'kw', maxLifetimeSeconds: null });
    const setting = printed.pop()!;
    expect(JSON.parse(printed.join('\n'))).toMatchObject({ unknown: [] });
    const shell = ['-c', `${setting}\nprintf %s "$SERVICE_A_KEY_POLICY"`];
    const alone = await world.start('local', {
      SERVICE_A_KEY_POLICY: execFileSync('sh', shell, { encoding: 'utf8' }),
    });
    const { secret } = await alone.issue({ expiresInSeconds: 5_000 });
    expect(secret).toMatch(/^moved_live_/);
    await expect(alone.codeOf(secret)).resolves.toBe('200');
    const longer = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
    await expect(
      alone.post('/v1/api-keys', { ...longer, expiresInSeconds: 5_001 }),
    ).resolves.toMatchObject({ status: 400, body: { code: 'POLICY_VIOLATION' } });
  });

  it('names keys with a quota, which would end unnoticed, and takes nothing over until that is said', async () => {
    const [limited, other] = [
      await world.seeded.issue({ quota: { limit: 1 } }),
      await world.seeded.issue(),
    ];
    await expect(world.takeOver()).rejects.toThrow(`Nothing was taken over: `);
    await expect(world.takeOver()).rejects.toThrow(limited.key.id);
    await expect(service.codeOf(other.secret)).resolves.toBe('403 API_KEY_INVALID');
    const { withoutQuota } = await world.takeOver(true);
    expect(withoutQuota).toEqual([limited.key.id]);
    for (const secret of [other.secret, limited.secret, limited.secret])
      await expect(service.codeOf(secret)).resolves.toBe('200');
  });
});

it('more keys than go in one call are handed over, each once', async () => {
  const many = 1_001;
  await world.handOver();
  await world.own.query(
    `INSERT INTO service_a.key (id, name, consumer, environment, scopes, state, rate_limits, ip_allowlist, tags, metadata, origin,
       version, created_at, created_by, updated_at)
     SELECT 'key_many' || lpad(n::text, 12, '0'), 'job', 'service-b', 'live', '{reports:read}', 'active', '[]', '{}', '{}', '{}',
       'issued', 1, now(), 'usr_admin', now() FROM generate_series(1, ${many}) n`,
  );
  await world.own.query(
    `INSERT INTO service_a.secret (key_id, number, digest, pepper_version, prefix, last4, created_at)
     SELECT id, 1, sha256(id::bytea), 1, 'kw', 'last', now() FROM service_a.key WHERE id LIKE 'key_many%'`,
  );
  expect(await world.handOver()).toMatchObject({ created: many, failed: [] });
  await expect(world.seeded.count('key', `id LIKE 'key_many%'`)).resolves.toBe(many);
  expect(await world.handOver()).toMatchObject({ created: 0, unchanged: 0, failed: [] });
});
