import type { KeyImport, ParityReport } from '#contracts';
import { startMovingWorld, until, type MovingService, type MovingWorld } from './support/world.js';

const INVALID = '403 API_KEY_INVALID';
const REVOKED = '403 API_KEY_REVOKED';

let world: MovingWorld;
let service: MovingService;
beforeAll(async () => {
  world = await startMovingWorld();
  service = await world.start('dual');
});
afterAll(() => world?.stop());

const importOf = async (): Promise<KeyImport> => {
  const { call } = world.replicas;
  const { body } = await call('get', '/v1/imports?service=service-a', world.seeded.admin);
  return (body as { data: KeyImport[] }).data[0]!;
};
const parityOf = async (id: string): Promise<ParityReport> =>
  (await world.replicas.call('get', `/v1/imports/${id}/parity`, world.seeded.admin))
    .body as ParityReport;

it('in shadow only the own store counts, whatever the key service would say, and it changes nothing there', async () => {
  const [same, other] = [await service.issue(), await service.issue()];
  await world.handOver();
  const central = await world.seeded.issue();
  await world.manage(`/v1/keys/${other.key.id}/revoke`, { reason: 'leaked' });
  const { id } = await importOf();
  await until('both', async () => {
    for (const { secret } of [same, other])
      await expect(service.codeOf(secret)).resolves.toBe('200');
    const { agree, onlyOld } = await parityOf(id);
    return agree > 0 && onlyOld > 0 ? 'both' : '';
  });
  await expect(service.codeOf(central.secret)).resolves.toBe(INVALID);
  await until('central', async () => ((await parityOf(id)).onlyCentral > 0 ? 'central' : ''));
  const { examples } = await parityOf(id);
  expect(examples.onlyOld).toEqual([
    expect.objectContaining({ keyId: other.key.id, oldCode: 'VALID', centralCode: 'REVOKED' }),
  ]);
  expect(examples.onlyCentral[0]).toMatchObject({ keyId: central.key.id });
  await expect(world.seeded.count('change_log', `action = 'key.hash_upgraded'`)).resolves.toBe(0);
});

it('in shadow nobody waits for the key service: where it says nothing the own store has answered', async () => {
  const { secret } = await service.issue();
  await world.handOver();
  world.link.blackhole(true);
  try {
    const answers = await Promise.all(Array.from({ length: 50 }, () => service.codeOf(secret)));
    expect(new Set(answers)).toEqual(new Set(['200']));
  } finally {
    world.link.blackhole(false);
  }
});

it('one call moves on, and at cutover the key service alone counts, its own store away or not; one call moves back', async () => {
  const { key, secret } = await service.issue();
  await world.handOver();
  await world.move('cutover');
  const central = await world.seeded.issue();
  await until('200', () => service.codeOf(central.secret));
  await expect(service.codeOf(secret)).resolves.toBe('200');
  await world.own.stop();
  try {
    await expect(service.codeOf(secret)).resolves.toBe('200');
    await world.manage(`/v1/keys/${key.id}/revoke`, { reason: 'leaked' });
    await expect(service.codeOf(secret)).resolves.toBe(REVOKED);
  } finally {
    await world.own.start();
  }
  // what has ended there ends here before the own store counts again
  expect((await world.takeOver()).ended).toBeGreaterThan(0);
  await world.move('shadow');
  await until(REVOKED, () => service.codeOf(secret));
});
