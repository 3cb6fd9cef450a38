import * as fc from 'fast-check';
import type { IssuedKey, Verdict } from '#contracts';
import type { KeyQuestion } from '#key-guard';
import {
  PATIENT,
  questionOn,
  startGuardWorld,
  until,
  type GuardWorld,
  type TestGuard,
} from './support/guards.js';

let world: GuardWorld;

beforeAll(async () => {
  world = await startGuardWorld(2);
});
afterAll(() => world?.stop());
afterEach(() => world.heal());

const cutAll = (guard: TestGuard) => guard.links.forEach((link) => link.cut(true));

describe('while no key service can be reached', () => {
  test('a known key goes on for the grace, and says so; then it is 503, and on again after', async () => {
    const guard = await world.guard({ graceSeconds: 6 });
    const issued = await world.seeded.issue();
    const question = questionOn(issued);
    await guard.warm(question);
    cutAll(guard);
    let stale: Verdict | undefined;
    await until('a stale verdict', async () => {
      const verdict = await guard.core.verify(question);
      if (verdict.decision.stale === true) stale = verdict;
      return stale !== undefined;
    });
    expect(stale).toMatchObject({ valid: true, keyId: issued.key.id });
    expect(await guard.codeOf({ ...question, scopes: ['reports:write'] })).toBe(
      'INSUFFICIENT_SCOPE',
    );
    expect(await guard.codeOf(questionOn(await world.seeded.issue()))).toBe('503');
    await until('503', async () => (await guard.codeOf(question)) === '503');
    const request = { headers: { 'x-api-key': issued.secret }, ip: '10.0.0.1' };
    expect(await guard.core.check(request, ['reports:read'])).toMatchObject({
      allowed: false,
      status: 503,
      headers: { 'Retry-After': '1' },
      problem: { code: 'VERIFICATION_UNAVAILABLE' },
    });
    world.heal();
    await guard.warm(question);
  });

  test('nothing goes on where the grace is switched off, or for scopes that are sensitive', async () => {
    const policy = { sensitiveScopes: ['reports:delete'] };
    await world.manage('patch', '/v1/services/service-a', { policy });
    const scopes = ['reports:read', 'reports:delete'];
    const issued = await world.seeded.issue({ grants: [{ service: 'service-a', scopes }] });
    const strictly = await world.guard({ graceSeconds: 0 });
    const guard = await world.guard();
    for (const one of [strictly, guard]) await one.warm(questionOn(issued));
    for (const one of [strictly, guard]) cutAll(one);
    await until('503', async () => (await strictly.codeOf(questionOn(issued))) === '503');
    await until('503', async () => (await guard.codeOf(questionOn(issued, { scopes }))) === '503');
    expect(await guard.codeOf(questionOn(issued))).toBe('VALID');
  });

  test('a limited key passes on the permits at hand only', async () => {
    const guard = await world.guard();
    const rateLimits = [{ name: 'a', limit: 100, windowSeconds: 3_600 }];
    await guard.warm(questionOn(await world.seeded.issue()));
    const question = questionOn(await world.seeded.issue({ rateLimits }));
    await guard.warm(question);
    cutAll(guard);
    let passed = 0;
    await until('503', async () => {
      const code = await guard.codeOf(question);
      passed += code === 'VALID' ? 1 : 0;
      return code === '503';
    });
    expect(passed).toBeLessThan(20);
  });
});

describe('one of two key services', () => {
  test('may go without a failed answer', async () => {
    const guard = await world.guard({ ...PATIENT, mode: 'strict' });
    const question = questionOn(await world.seeded.issue());
    const failed: string[] = [];
    for (let i = 0; i < 300; i += 1) {
      if (i === 50) guard.links[0]!.cut(true);
      if (i === 150) guard.links[0]!.cut(false);
      if (i === 200) guard.links[1]!.cut(true);
      const code = await guard.codeOf(question);
      if (code !== 'VALID') failed.push(`${i}: ${code}`);
    }
    expect(failed).toEqual([]);
  });

  test('may hang, and is asked a second time about a tenth of the questions at most', async () => {
    const guard = await world.guard({ mode: 'strict', timeoutMs: 1_000 });
    const question = questionOn(await world.seeded.issue());
    await guard.codeOf(question);
    guard.links[0]!.holdAnswers(true);
    const codes: string[] = [];
    for (let i = 0; i < 100; i += 1) codes.push(await guard.codeOf(question));
    expect(codes.filter((one) => one !== 'VALID').length).toBeLessThanOrEqual(1);
    const asked = guard.links.reduce((sum, link) => sum + link.asked.length, 0);
    expect(asked).toBeLessThanOrEqual(1.1 * 101 + 1);
  });
});

describe('the verdict', () => {
  test('is the same alone, in a batch and from memory', async () => {
    const strict = await world.guard({ ...PATIENT, mode: 'strict' });
    const cached = await world.guard(PATIENT);
    const keys = await someKeys();
    const someQuestion: fc.Arbitrary<KeyQuestion> = fc.record({
      key: fc.constantFrom(...keys),
      scopes: fc.constantFrom<NonNullable<KeyQuestion['scopes']>[]>(
        [],
        ['reports:read'],
        ['reports:read', 'reports:write'],
        { anyOf: ['reports:write', 'reports:delete'] },
      ),
      clientIp: fc.constantFrom('10.0.0.1', '192.0.2.9', '::ffff:10.1.1.1', undefined),
    });
    const alone = async ({ key, scopes, clientIp }: KeyQuestion) => {
      const given = { ...(scopes && { scopes }), ...(clientIp !== undefined && { clientIp }) };
      return (await world.replicas.ask(0, { key, environment: 'live', ...given })).body;
    };
    const property = fc.asyncProperty(
      fc.array(someQuestion, { minLength: 2, maxLength: 20 }),
      async (questions) => {
        const wanted = [];
        for (const one of questions) wanted.push(toldOf(await alone(one)));
        const atOnce = async ({ core }: TestGuard) =>
          (await Promise.all(questions.map(async (one) => core.verify(one)))).map(toldOf);
        expect(await atOnce(strict)).toEqual(wanted);
        expect(await atOnce(cached)).toEqual(wanted);
        expect(await atOnce(cached)).toEqual(wanted);
      },
    );
    await fc.assert(property, { numRuns: 40 });
    await cached.warm({ key: keys[0]!, scopes: [], clientIp: '10.0.0.1' });
  });

  /** All but where and when it was decided, and how much is left of limits: each question takes from that. */
  function toldOf(verdict: Verdict) {
    const { decision, rateLimits, quota, retryAfterSeconds, ...told } = verdict;
    const limits = rateLimits?.map(({ name, limit }) => ({ name, limit }));
    const isToWait = retryAfterSeconds !== undefined;
    return { ...told, version: decision.version, limits, quota: quota?.limit, isToWait };
  }

  async function someKeys(): Promise<string[]> {
    const { issue } = world.seeded;
    const ended = async (action: string, body?: object): Promise<IssuedKey> => {
      const issued = await issue();
      await world.manage('post', `/v1/keys/${issued.key.id}/${action}`, body);
      return issued;
    };
    const limited = (limit: number) => ({
      rateLimits: [{ name: 'a', limit, windowSeconds: 86_400 }],
    });
    const spent = async (body: object): Promise<IssuedKey> => {
      const issued = await issue(body);
      await world.replicas.ask(0, { key: issued.secret, environment: 'live' });
      return issued;
    };
    const all = [
      await issue({ metadata: { team: 'blue' } }),
      await issue({ ipAllowlist: ['10.0.0.0/8'] }),
      await issue({ environment: 'test' }),
      await issue({
        grants: [{ service: 'service-a', scopes: ['reports:read', 'reports:delete'] }],
      }),
      await issue({ grants: [{ service: 'service-x', scopes: ['things:read'] }] }),
      await issue({ notBefore: '2100-01-01T00:00:00Z', expiresAt: null }),
      await ended('revoke', { reason: 'retired' }),
      await ended('disable'),
      await ended('rotate', { overlapSeconds: 0 }),
      await ended('rotate', { overlapSeconds: 3_600 }),
      await issue(limited(1_000_000)),
      await issue({ quota: { limit: 1_000_000 } }),
      await spent(limited(1)),
      await spent({ quota: { limit: 1 } }),
    ];
    return [...all.map((one) => one.secret), 'junk', `${all[0]!.secret.slice(0, -1)}!`];
  }
});
