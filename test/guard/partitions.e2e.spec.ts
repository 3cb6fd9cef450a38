import type { IssuedKey } from '#contracts';
import { createKeyGuard, VerificationUnavailable, type KeyGuardCore } from '#key-guard';
import { startCluster, type Cluster } from '../coherence/support/cluster.js';
import { createWorld, until, type World } from '../coherence/support/world.js';
import { RECOVERY_MS } from '../support/patience.js';
import { PATIENT, startGuardWorld, questionOn, type GuardWorld } from './support/guards.js';

/** How old the feed's last proof may be. */
const LEASE_MS = 2_000;

describe('a key service that is cut from PostgreSQL and Redis, beside one that is not', () => {
  let cluster: Cluster;
  let world: World;
  const guards: KeyGuardCore[] = [];

  beforeAll(async () => {
    cluster = await startCluster({ replicas: 2 });
    world = await createWorld(cluster);
  });
  afterAll(async () => {
    await Promise.all(guards.map((one) => one.close()));
    await cluster?.stop();
  });

  /** A guard with these key services only. */
  const guardOf = (replicas: number[], graceSeconds: number): KeyGuardCore => {
    const guard = createKeyGuard({
      urls: replicas.map((one) => cluster.replicas[one]!.url),
      token: cluster.serviceToken,
      service: 'service-a',
      graceSeconds,
      ...PATIENT,
    });
    guards.push(guard);
    return guard;
  };
  const codeOf = async (guard: KeyGuardCore, { secret }: IssuedKey): Promise<string> => {
    try {
      return (await guard.verify({ key: secret, scopes: ['reports:read'] })).code;
    } catch (error) {
      if (error instanceof VerificationUnavailable) return '503';
      throw error;
    }
  };
  const isOwn = (guard: KeyGuardCore, { secret }: IssuedKey): boolean => {
    const told = guard.verify({ key: secret, scopes: ['reports:read'] });
    if (!(told instanceof Promise)) return told.valid;
    told.catch(() => undefined);
    return false;
  };

  test('lets nobody pass with a key that was revoked, once the feed is not proven any more', async () => {
    const issued = await world.issue();
    // one that may ask both, with a grace; one that knows the cut one only, without
    const [both, alone] = [guardOf([0, 1], 60), guardOf([0], 0)];
    for (const guard of [both, alone])
      await until('a verdict of its own', () => isOwn(guard, issued));
    const [cut] = cluster.replicas;
    cut!.postgres.refuse(true);
    cut!.redis.refuse(true);
    expect(await world.revoke(1, issued.key.id)).toMatchObject({ status: 200 });
    const revokedMs = performance.now();
    const late: string[] = [];
    const seen = new Set<string>();
    const watchOne = async (guard: KeyGuardCore, name: string, end: string) => {
      await until(`${end} at ${name}`, async () => {
        const startedMs = performance.now();
        const code = await codeOf(guard, issued);
        if (code === 'VALID' && startedMs > revokedMs + LEASE_MS) late.push(name);
        seen.add(`${name} ${code}`);
        return code === end;
      });
    };
    await Promise.all([watchOne(both, 'both', 'REVOKED'), watchOne(alone, 'alone', '503')]);
    for (let i = 0; i < 100; i += 1) {
      expect(await codeOf(both, issued)).toBe('REVOKED');
      expect(await codeOf(alone, issued)).toBe('503');
    }
    expect(late).toEqual([]);
    cluster.heal();
    for (const guard of [both, alone])
      await until('REVOKED', async () => (await codeOf(guard, issued)) === 'REVOKED', RECOVERY_MS);
    for (let i = 0; i < 100; i += 1)
      for (const guard of [both, alone]) expect(await codeOf(guard, issued)).toBe('REVOKED');
  });
});

describe('all key services gone, under load', () => {
  let world: GuardWorld;
  beforeAll(async () => {
    world = await startGuardWorld(1);
  });
  afterAll(() => world?.stop());

  test('are hardly tried meanwhile, and not asked more than is needed when they are back', async () => {
    const guards = await Promise.all(Array.from({ length: 8 }, () => world.guard()));
    const [known, ...cold] = await Promise.all(
      Array.from({ length: 6 }, () => world.seeded.issue()),
    );
    for (const guard of guards) await guard.warm(questionOn(known!));
    const links = guards.flatMap((one) => one.links);
    const round = async () => {
      const questions = [known!, ...cold].map((one) => questionOn(one));
      const asked = guards.flatMap((guard) => questions.map((one) => guard.codeOf(one)));
      return Promise.all(asked);
    };
    links.forEach((link) => link.cut(true));
    await until('the breakers', async () => {
      const codes = await round();
      expect(codes.every((code) => code === 'VALID' || code === '503')).toBe(true);
      return guards.every((one) => one.core.state().isBroken);
    });
    const triesBefore = links.reduce((sum, link) => sum + link.tries(), 0);
    let requests = 0;
    const endMs = performance.now() + 2_000;
    while (performance.now() < endMs) {
      const codes = await round();
      requests += codes.length;
      // of what is known, and of nothing else
      expect(codes.filter((code) => code === 'VALID').length).toBeLessThanOrEqual(guards.length);
    }
    const tries = links.reduce((sum, link) => sum + link.tries(), 0) - triesBefore;
    expect(tries).toBeLessThan(requests / 10);
    links.forEach((link) => link.cut(false));
    for (const link of links) link.asked.length = 0;
    requests = 0;
    const isWell = async () => {
      const codes = await round();
      requests += codes.length;
      return codes.every((code) => code === 'VALID');
    };
    await until('all to be well', isWell, RECOVERY_MS);
    const asked = links.flatMap((link) => link.asked).filter((one) => one !== '/v1/usage');
    expect(asked.length).toBeLessThanOrEqual(1.1 * requests);
  });
});
