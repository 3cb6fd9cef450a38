import type { IssuedKey } from '#contracts';
import { startMovingWorld, until, type MovingService, type MovingWorld } from './support/world.js';

const GRACE_SECONDS = 2;
const INVALID = '403 API_KEY_INVALID';
const AWAY = '503 VERIFICATION_UNAVAILABLE';

let world: MovingWorld;
let service: MovingService;
beforeAll(async () => {
  world = await startMovingWorld();
  service = await world.start('dual', {
    SERVICE_A_CENTRAL_GRACE_SECONDS: String(GRACE_SECONDS),
  });
  // what is moved must be there
  await ownKey();
  await world.handOver();
});
afterAll(() => world?.stop());
afterEach(() => world.link.refuse(false));

/** Keys that service-a made and handed over, the key service having them for certain. */
async function handedOver(count: 1 | 2): Promise<[IssuedKey, IssuedKey]> {
  await world.move('shadow');
  const first = await ownKey();
  const second = count === 1 ? first : await ownKey();
  expect((await world.handOver()).failed).toEqual([]);
  await world.move('dual');
  for (const { secret } of [first, second]) await until('VALID', () => world.centralCode(secret));
  await until('level', async () => {
    const [row] = await world.own.query<{ level: boolean }>(
      `SELECT max(at) < clock_timestamp() - interval '3.5 seconds' AS level FROM service_a.handed_over`,
    );
    return row?.level === true ? 'level' : '';
  });
  return [first, second];
}

/** Made at service-a: in `dual` the key service would make it. */
async function ownKey(): Promise<IssuedKey> {
  for (;;) {
    const made = await service.issue().catch(() => null);
    const rows = await world.own.query(
      `SELECT id FROM service_a.key WHERE id = '${made?.key.id ?? ''}'`,
    );
    if (made !== null && rows.length === 1) return made;
    await new Promise((go) => setTimeout(go, 50));
  }
}

describe('a key that both sides have', () => {
  it('has its newest secret there also where the word of an earlier one was late', async () => {
    await world.move('shadow');
    const { key } = await ownKey();
    await world.handOver();
    const alone = await world.start('local');
    world.link.blackhole(true);
    const late = service.rotate(key.id, 0);
    await until('2', async () => {
      const [row] = await world.own.query<{ number: string }>(
        `SELECT max(number)::text AS number FROM service_a.secret WHERE key_id = '${key.id}'`,
      );
      return row!.number;
    });
    await new Promise((go) => setTimeout(go, 300));
    const newest = await alone.rotate(key.id, 0);
    await world.handOver();
    world.link.blackhole(false);
    const { secret: earlier } = await late;
    expect((await world.handOver()).failed).toEqual([]);
    const trialOf = async (text: string) =>
      (await world.replicas.ask(0, { key: text, dryRun: true })).body.code;
    const both = () => Promise.all([trialOf(newest.secret), trialOf(earlier)]);
    // a text that was none is looked for again after a second
    await new Promise((go) => setTimeout(go, 1_500));
    expect(await both()).toEqual(['VALID', 'SUPERSEDED']);
  });

  it('differs on neither side after it was revoked on both', async () => {
    await world.move('shadow');
    const [there, here] = [await ownKey(), await ownKey()];
    await world.handOver();
    await service.post(`/v1/api-keys/${here.key.id}/revoke`, { reason: 'leaked' });
    await world.move('dual');
    await service.post(`/v1/api-keys/${there.key.id}/revoke`, { reason: 'leaked' });
    const rows = await world.own.query<{ id: string; told: boolean }>(
      `SELECT k.version = h.version AS told FROM service_a.key k JOIN service_a.handed_over h ON h.key_id = k.id
       WHERE k.id IN ('${there.key.id}', '${here.key.id}') AND k.state = 'revoked'`,
    );
    expect(rows.map((row) => row.told)).toEqual([true, true]);
  });

  it('is refused where the key service knows it no more, whatever the own store says', async () => {
    const [{ key, secret }] = await handedOver(1);
    await expect(service.codeOf(secret)).resolves.toBe('200');
    // rotated twice there: the secret that the own store has is nobody's any more
    for (let i = 0; i < 2; i += 1)
      await world.manage(`/v1/keys/${key.id}/rotate`, { overlapSeconds: 0 });
    await expect(world.centralCode(secret)).resolves.toBe('NOT_FOUND');
    await until(INVALID, () => service.codeOf(secret));
  });

  it('is refused by either: revoked there only, revoked here only', async () => {
    const [there, here] = await handedOver(2);
    await world.manage(`/v1/keys/${there.key.id}/revoke`, { reason: 'leaked' });
    await world.own.query(
      `UPDATE service_a.key SET state = 'revoked', revoked_at = now(), version = version + 1 WHERE id = '${here.key.id}'`,
    );
    for (const { secret } of [there, here])
      await expect(service.codeOf(secret)).resolves.toBe('403 API_KEY_REVOKED');
  });

  it('goes on for the grace while the key service is away, then is 503, and never a bad key', async () => {
    const [{ secret }] = await handedOver(1);
    await expect(service.codeOf(secret)).resolves.toBe('200');
    world.link.refuse(true);
    const seen = new Set<string>();
    await until(AWAY, async () => {
      const code = await service.codeOf(secret);
      seen.add(code);
      return code;
    });
    expect([...seen]).toEqual(['200', AWAY]);
    await expect(service.codeOf(`${secret.slice(0, -1)}x`)).resolves.toBe(AWAY);
    world.link.refuse(false);
    await until('200', () => service.codeOf(secret));
  });
});

describe('a key that one side has', () => {
  it('is decided on by that side', async () => {
    const central = await world.seeded.issue();
    await world.move('shadow');
    const own = await ownKey();
    await world.move('dual');
    await until('200', () => service.codeOf(central.secret));
    await expect(service.codeOf(own.secret)).resolves.toBe('200');
    await world.manage(`/v1/keys/${central.key.id}/revoke`, { reason: 'leaked' });
    await expect(service.codeOf(central.secret)).resolves.toBe('403 API_KEY_REVOKED');
  });

  it('goes on without the key service where that never had it; one that may be its is 503', async () => {
    await world.move('shadow');
    const own = await ownKey();
    const central = await world.seeded.issue();
    await world.move('dual');
    await until('200', () => service.codeOf(central.secret));
    world.link.refuse(true);
    await expect(service.codeOf(central.secret)).resolves.toBe(AWAY);
    const begun = Date.now();
    while (Date.now() - begun < (GRACE_SECONDS + 1) * 1_000)
      await expect(service.codeOf(own.secret)).resolves.toBe('200');
  });
});
