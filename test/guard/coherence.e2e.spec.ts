import type { IssuedKey } from '#contracts';
import {
  isOwn,
  PATIENT,
  questionOn,
  startGuardWorld,
  until,
  type GuardWorld,
  type TestGuard,
} from './support/guards.js';

let world: GuardWorld;
let guards: TestGuard[];

beforeAll(async () => {
  world = await startGuardWorld(3);
  guards = await Promise.all([1, 2, 3].map(() => world.guard(PATIENT)));
});
afterAll(() => world?.stop());
afterEach(() => world.heal());

const warmAll = (question: ReturnType<typeof questionOn>) =>
  Promise.all(guards.map((one) => one.warm(question)));
const own = (guard: TestGuard, question: ReturnType<typeof questionOn>) => {
  const answer = guard.core.verify(question);
  if (isOwn(answer)) return answer;
  answer.catch(() => undefined);
  return null;
};

describe('a change', () => {
  type Change = (issued: IssuedKey) => Promise<void>;
  const onKey =
    (action: string, body?: object): Change =>
    ({ key }) =>
      world.manage('post', `/v1/keys/${key.id}/${action}`, body);
  const patched =
    (body: () => object): Change =>
    ({ key }) =>
      world.manage('patch', `/v1/keys/${key.id}`, body());
  const changes: [string, string, Change][] = [
    ['a key is revoked', 'REVOKED', onKey('revoke', { reason: 'compromised' })],
    ['a key is disabled', 'DISABLED', onKey('disable')],
    ['a key is rotated at once', 'SUPERSEDED', onKey('rotate', { overlapSeconds: 0 })],
    [
      'a rotation is finished',
      'SUPERSEDED',
      async (issued) => {
        await onKey('rotate', { overlapSeconds: 3_600 })(issued);
        await warmAll(questionOn(issued));
        await onKey('rotation/finish')(issued);
      },
    ],
    [
      'the end of a key is brought forward',
      'EXPIRED',
      patched(() => ({ expiresAt: new Date(Date.now() + 1_500).toISOString() })),
    ],
    [
      'a scope is taken away',
      'INSUFFICIENT_SCOPE',
      patched(() => ({ grants: [{ service: 'service-a', scopes: ['reports:write'] }] })),
    ],
    [
      'the service is taken away',
      'NOT_FOUND',
      patched(() => ({ grants: [{ service: 'service-x', scopes: ['things:read'] }] })),
    ],
    [
      'the list of addresses changes',
      'IP_NOT_ALLOWED',
      patched(() => ({ ipAllowlist: ['192.0.2.0/24'] })),
    ],
    [
      'keys are revoked in bulk',
      'REVOKED',
      ({ key }) =>
        world.manage('post', '/v1/keys/revoke', {
          filter: { tag: key.tags[0] },
          reason: 'leaked',
        }),
    ],
    [
      'the consumer is disabled',
      'DISABLED',
      async ({ key }) => {
        await world.manage('patch', `/v1/consumers/${key.consumer}`, { enabled: false });
      },
    ],
  ];

  test.each(changes)('reaches three guards where %s', async (what, code, change) => {
    const name = what.replaceAll(' ', '-');
    await world.manage('post', '/v1/consumers', { slug: name });
    const issued = await world.seeded.issue({ consumer: name, tags: [name] });
    const question = questionOn(issued);
    await warmAll(question);
    await change(issued);
    for (const guard of guards) {
      await until(code, async () => (await guard.codeOf(question)) === code);
      // and never again, whoever is asked and whatever is told late
      for (let i = 0; i < 50; i += 1) expect(await guard.codeOf(question)).toBe(code);
    }
  });

  test('of a limit takes the permits of before along', async () => {
    const limits = (limit: number) => [{ name: 'a', limit, windowSeconds: 3_600 }];
    const issued = await world.seeded.issue({ rateLimits: limits(10_000) });
    const question = questionOn(issued);
    await warmAll(question);
    for (let i = 0; i < 200; i += 1) await guards[0]!.codeOf(question);
    await world.manage('patch', `/v1/keys/${issued.key.id}`, { rateLimits: limits(3) });
    await until('the lower limit', async () => {
      const verdict = await guards[0]!.core.verify(question);
      return verdict.rateLimits![0]!.limit === 3;
    });
    const more = await Promise.all(
      Array.from({ length: 60 }, (_, i) => guards[i % 3]!.codeOf(question)),
    );
    expect(more.filter((one) => one === 'VALID').length).toBeLessThanOrEqual(3);
  });

  test('back is seen as well', async () => {
    const issued = await world.seeded.issue();
    const question = questionOn(issued);
    await warmAll(question);
    await onKey('disable')(issued);
    for (const guard of guards)
      await until('DISABLED', async () => (await guard.codeOf(question)) === 'DISABLED');
    await onKey('enable')(issued);
    for (const guard of guards) expect(await guard.codeOf(question)).toBe('VALID');
    await warmAll(question);
  });
});

describe('an answer of before a change', () => {
  test('that arrives after it is not used again', async () => {
    const issued = await world.seeded.issue();
    const question = questionOn(issued);
    const guard = guards[1]!;
    for (const link of guard.links) link.holdAnswers(true);
    const asked = guard.links.reduce((sum, link) => sum + link.asked.length, 0);
    const late = guard.codeOf(question);
    await until('the question', () => {
      return guard.links.reduce((sum, link) => sum + link.asked.length, 0) > asked;
    });
    await world.manage('post', `/v1/keys/${issued.key.id}/revoke`, { reason: 'compromised' });
    for (const link of guard.links) link.holdAnswers(false);
    expect(['VALID', 'REVOKED', '503']).toContain(await late);
    await until('the change', async () => (await guard.codeOf(question)) === 'REVOKED');
    for (let i = 0; i < 20; i += 1) expect(await guard.codeOf(question)).toBe('REVOKED');
  });
});

describe('a feed that', () => {
  test('tells everything twice, and old things again, changes no answer', async () => {
    const guard = await world.guard(PATIENT);
    for (const link of guard.links) link.stutter(true);
    const [dead, alive] = [await world.seeded.issue(), await world.seeded.issue()];
    await guard.warm(questionOn(dead));
    await world.manage('post', `/v1/keys/${alive.key.id}/disable`);
    await world.manage('post', `/v1/keys/${alive.key.id}/enable`);
    await world.manage('post', `/v1/keys/${dead.key.id}/revoke`, { reason: 'leaked' });
    await until('REVOKED', async () => (await guard.codeOf(questionOn(dead))) === 'REVOKED');
    await guard.warm(questionOn(alive));
    for (let i = 0; i < 5; i += 1) {
      await world.seeded.issue();
      expect(await guard.codeOf(questionOn(dead))).toBe('REVOKED');
      await guard.warm(questionOn(alive));
    }
  });

  test('falls silent is believed for maxStaleness at most, then each request is asked about', async () => {
    const guard = guards[2]!;
    const issued = await world.seeded.issue();
    const question = questionOn(issued);
    await guard.warm(question);
    for (const link of guard.links) link.holdFeed(true);
    const heldMs = performance.now();
    await world.manage('post', `/v1/keys/${issued.key.id}/revoke`, { reason: 'compromised' });
    let ownUntilMs = heldMs;
    await until('REVOKED', async () => {
      const startedMs = performance.now();
      if (own(guard, question)?.valid === true) ownUntilMs = startedMs;
      return (await guard.codeOf(question)) === 'REVOKED';
    });
    expect(ownUntilMs - heldMs).toBeLessThanOrEqual(2_000);
    const other = questionOn(await world.seeded.issue());
    for (let i = 0; i < 5; i += 1) {
      expect(await guard.codeOf(other)).toBe('VALID');
      expect(own(guard, other)).toBeNull();
    }
    for (const link of guard.links) link.holdFeed(false);
    await guard.warm(other);
    expect(await guard.codeOf(question)).toBe('REVOKED');
  });

  /** Questions about keys that a guard has asked so far. */
  const questionsOf = ({ links }: TestGuard) =>
    links.flatMap((link) => link.asked).filter((path) => path.startsWith('/v1/keys/'));
  /** Two keys that the guard knows, and how to wait until it has heard of a change of one of them. */
  const twoKnown = async (guard: TestGuard) => {
    const [changed, other] = [await world.seeded.issue(), await world.seeded.issue()];
    await guard.warm(questionOn(changed));
    await guard.warm(questionOn(other));
    const { known } = guard.core.state();
    const asked = questionsOf(guard);
    /** By the feed alone: the guard asks nothing, and has not forgotten the other. */
    const isHeard = async () => {
      await until('the change', () => {
        const now = guard.core.state();
        return now.isProven && now.known < known;
      });
      expect(own(guard, questionOn(other))?.valid).toBe(true);
      expect(questionsOf(guard)).toEqual(asked);
    };
    return { changed, isHeard };
  };

  test('breaks is resumed, with what was missed and without a question', async () => {
    const guard = guards[0]!;
    const { changed, isHeard } = await twoKnown(guard);
    for (const link of guard.links) {
      link.feeds.length = 0;
      link.holdFeed(true);
      link.breakFeed();
    }
    await world.manage('post', `/v1/keys/${changed.key.id}/disable`);
    for (const link of guard.links) link.holdFeed(false);
    await isHeard();
    const resumed = guard.links.flatMap((link) => link.feeds);
    expect(resumed).toContainEqual(expect.stringMatching(/^\d+$/));
    expect(resumed).not.toContain(null);
    expect(await guard.codeOf(questionOn(changed))).toBe('DISABLED');
  });

  test('is cut off at its replica goes on at another, with what was missed and without a question', async () => {
    const guard = guards[1]!;
    const { changed, isHeard } = await twoKnown(guard);
    await until('a feed', () => guard.links.some((link) => link.isFollowed()));
    const first = guard.links.find((link) => link.isFollowed())!;
    const others = guard.links.filter((link) => link !== first);
    for (const link of others) link.feeds.length = 0;
    first.cut(true);
    await world.manage('post', `/v1/keys/${changed.key.id}/revoke`, { reason: 'compromised' });
    await isHeard();
    expect(others.flatMap((link) => link.feeds)).toContainEqual(expect.stringMatching(/^\d+$/));
    expect(await guard.codeOf(questionOn(changed))).toBe('REVOKED');
  });
});

describe('times and places', () => {
  test('are looked at anew for each request, without asking', async () => {
    const issued = await world.seeded.issue({
      ipAllowlist: ['10.0.0.0/8'],
      grants: [{ service: 'service-a', scopes: ['reports:read', 'reports:delete'] }],
    });
    const guard = guards[2]!;
    await guard.warm(questionOn(issued));
    const codes = [
      { clientIp: '192.0.2.1' },
      { clientIp: undefined },
      { scopes: ['reports:write'] },
      { scopes: { anyOf: ['reports:write', 'reports:delete'] } },
      {},
    ].map((more) => own(guard, questionOn(issued, more))?.code);
    expect(codes).toEqual([
      'IP_NOT_ALLOWED',
      'IP_NOT_ALLOWED',
      'INSUFFICIENT_SCOPE',
      'VALID',
      'VALID',
    ]);
  });

  test.each(['strict', 'cached'] as const)(
    'of another environment let nobody pass, in %s mode',
    async (mode) => {
      const keys = [
        await world.seeded.issue(),
        await world.seeded.issue({ environment: 'test' }),
      ].map((one) => questionOn(one));
      const codesAt = async (guard: TestGuard) => {
        const alone = [await guard.codeOf(keys[0]!), await guard.codeOf(keys[1]!)];
        expect(await Promise.all(keys.map((one) => guard.codeOf(one)))).toEqual(alone);
        return alone;
      };
      const [live, trial] = [
        await world.guard({ ...PATIENT, mode }),
        await world.guard({ ...PATIENT, mode, environment: 'test' }),
      ];
      const refused = 'WRONG_ENVIRONMENT';
      expect(await codesAt(live)).toEqual(['VALID', refused]);
      expect(await codesAt(trial)).toEqual([refused, 'VALID']);
      if (mode === 'strict') return;
      await live.warm(keys[0]!);
      await until('a refusal of its own', () => own(live, keys[1]!)?.code === refused);
    },
  );

  test('an end is kept without being told again', async () => {
    const issued = await world.seeded.issue({
      expiresAt: new Date(Date.now() + 3_000).toISOString(),
    });
    const guard = guards[0]!;
    await guard.warm(questionOn(issued));
    await until('EXPIRED', () => own(guard, questionOn(issued))?.code === 'EXPIRED');
    expect(await guard.codeOf(questionOn(issued))).toBe('EXPIRED');
  });
});
