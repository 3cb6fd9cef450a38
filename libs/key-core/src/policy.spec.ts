import { DEFAULT_POLICY, MAX_LIFETIME_SECONDS, type Policy } from '#contracts';
import * as fc from 'fast-check';
import { grantFaults, resolveLifetime, resolveOverlap } from './policy.js';
import { NOW_MS, someScope } from './testing.js';

const DAY = 86_400;

function policy(changed: Partial<Policy>): Policy {
  return { ...DEFAULT_POLICY, ...changed };
}

function inDays(days: number): string {
  return new Date(NOW_MS + days * DAY * 1_000).toISOString();
}

function endIn(days: number) {
  return { expiresAtMs: NOW_MS + days * DAY * 1_000 };
}

const somePolicy = fc.record({
  defaultLifetimeSeconds: fc.integer({ min: 1, max: 200 }),
  maxLifetimeSeconds: fc.option(fc.integer({ min: 1, max: 200 })),
  expiryRequired: fc.boolean(),
  defaultOverlapSeconds: fc.nat({ max: 200 }),
  maxOverlapSeconds: fc.nat({ max: 200 }),
});
const somePolicies = fc.array(somePolicy.map(policy), { minLength: 1, maxLength: 4 });

describe('resolveLifetime', () => {
  it('gives the default where nothing is asked for', () => {
    expect(resolveLifetime({}, [DEFAULT_POLICY], NOW_MS)).toEqual(endIn(90));
    expect(
      resolveLifetime(
        { expiresAt: undefined, expiresInSeconds: undefined },
        [DEFAULT_POLICY],
        NOW_MS,
      ),
    ).toEqual(endIn(90));
  });

  it('gives what is asked for within the bounds, the bound itself included', () => {
    const policies = [policy({ maxLifetimeSeconds: 30 * DAY })];
    expect(resolveLifetime({ expiresInSeconds: 30 * DAY }, policies, NOW_MS)).toEqual(endIn(30));
    expect(resolveLifetime({ expiresAt: inDays(30) }, policies, NOW_MS)).toEqual(endIn(30));
    expect(resolveLifetime({ expiresAt: '2027-02-01T13:00:00+01:00' }, policies, NOW_MS)).toEqual(
      endIn(1),
    );
  });

  it('says what would be right where too long a life is asked for', () => {
    const policies = [policy({ maxLifetimeSeconds: 30 * DAY })];
    expect(resolveLifetime({ expiresInSeconds: 30 * DAY + 1 }, policies, NOW_MS)).toEqual([
      { pointer: '/expiresInSeconds', detail: 'Use 1 to 2592000 seconds' },
    ]);
    const fault = {
      pointer: '/expiresAt',
      detail:
        'Use a time after now, 2027-01-31T12:00:00.000Z, at the latest 2027-03-02T12:00:00.000Z',
    };
    const late = new Date(NOW_MS + 30 * DAY * 1_000 + 1).toISOString();
    expect(resolveLifetime({ expiresAt: late }, policies, NOW_MS)).toEqual([fault]);
  });

  it.each(['2027-01-31T12:00:00Z', '2027-01-31T11:59:59.999Z', '2000-01-01T00:00:00Z', 'junk'])(
    'refuses the expiry %s, which is not after now, as none under any policy',
    (expiresAt) => {
      expect(resolveLifetime({ expiresAt }, [DEFAULT_POLICY], NOW_MS)).toEqual([
        {
          pointer: '/expiresAt',
          code: 'INVALID_VALUE',
          detail:
            'Use a time after now, 2027-01-31T12:00:00.000Z, at the latest 2037-01-28T12:00:00.000Z',
        },
      ]);
    },
  );

  it('gives a key without an end only where it is asked for and every policy allows it', () => {
    const never = { expiresAt: null };
    expect(resolveLifetime(never, [DEFAULT_POLICY], NOW_MS)).toEqual({ expiresAtMs: null });
    for (const strict of [{ expiryRequired: true }, { maxLifetimeSeconds: MAX_LIFETIME_SECONDS }]) {
      expect(resolveLifetime(never, [DEFAULT_POLICY, policy(strict)], NOW_MS)).toEqual([
        {
          pointer: '/expiresAt',
          detail: 'The policy requires an expiry, at the latest 2037-01-28T12:00:00.000Z',
        },
      ]);
    }
  });

  it('lets the strictest of several policies hold', () => {
    const policies = [
      policy({ defaultLifetimeSeconds: 60 * DAY, maxLifetimeSeconds: null }),
      policy({ defaultLifetimeSeconds: 90 * DAY, maxLifetimeSeconds: 30 * DAY }),
      policy({ defaultLifetimeSeconds: 40 * DAY, maxLifetimeSeconds: 50 * DAY }),
    ];
    expect(resolveLifetime({}, policies, NOW_MS)).toEqual(endIn(30));
    expect(resolveLifetime({ expiresInSeconds: 31 * DAY }, policies, NOW_MS)).toEqual([
      { pointer: '/expiresInSeconds', detail: 'Use 1 to 2592000 seconds' },
    ]);
  });

  it('never gives more than each policy alone would allow', () => {
    const wanted = fc.oneof(
      fc.constant({}),
      fc.constant({ expiresAt: null }),
      fc.integer({ min: -10, max: 250 }).map((expiresInSeconds) => ({ expiresInSeconds })),
      fc
        .integer({ min: -10, max: 250 })
        .map((seconds) => ({ expiresAt: new Date(NOW_MS + seconds * 1_000).toISOString() })),
    );
    fc.assert(
      fc.property(wanted, somePolicies, (wanted, policies) => {
        const result = resolveLifetime(wanted, policies, NOW_MS);
        const given = Array.isArray(result) ? [] : [result.expiresAtMs];
        for (const lifeSeconds of given.map((ms) => ((ms ?? Infinity) - NOW_MS) / 1_000)) {
          expect(lifeSeconds).toBeGreaterThan(0);
          for (const one of policies) {
            const max = one.expiryRequired ? MAX_LIFETIME_SECONDS : Infinity;
            expect(lifeSeconds).toBeLessThanOrEqual(one.maxLifetimeSeconds ?? max);
            expect(Array.isArray(resolveLifetime(wanted, [one], NOW_MS))).toBe(false);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('resolveOverlap', () => {
  it('gives what is asked for up to the shortest maximum, 0 included', () => {
    const policies = [policy({ maxOverlapSeconds: 600 }), DEFAULT_POLICY];
    expect(resolveOverlap(0, policies)).toEqual({ seconds: 0 });
    expect(resolveOverlap(600, policies)).toEqual({ seconds: 600 });
    expect(resolveOverlap(601, policies)).toEqual([
      { pointer: '/overlapSeconds', detail: 'Use 0 to 600 seconds' },
    ]);
  });

  it('gives the shortest default, within the shortest maximum', () => {
    expect(resolveOverlap(undefined, [DEFAULT_POLICY])).toEqual({ seconds: DAY });
    const short = policy({ defaultOverlapSeconds: 60 });
    expect(resolveOverlap(undefined, [DEFAULT_POLICY, short])).toEqual({ seconds: 60 });
    const none = policy({ maxOverlapSeconds: 0 });
    expect(resolveOverlap(undefined, [DEFAULT_POLICY, none])).toEqual({ seconds: 0 });
  });

  it('never gives more than any policy allows', () => {
    const wanted = fc.option(fc.nat({ max: 250 }), { nil: undefined });
    fc.assert(
      fc.property(wanted, somePolicies, (wanted, policies) => {
        const result = resolveOverlap(wanted, policies);
        const max = Math.min(...policies.map((one) => one.maxOverlapSeconds));
        const isAllowed = wanted === undefined || wanted <= max;
        expect(Array.isArray(result) ? !isAllowed : isAllowed && result.seconds <= max).toBe(true);
      }),
    );
  });
});

describe('grantFaults', () => {
  const services = [
    { slug: 'service-a', scopes: ['reports:read', 'reports:write', 'users:*'] },
    { slug: 'service-x', scopes: [] },
  ];

  it('allows what the catalogue holds, by name or by wildcard', () => {
    const scopes = ['reports:read', 'reports:*', 'users:*', 'users:read', 'users:read:*'];
    expect(grantFaults([{ service: 'service-a', scopes }], services)).toEqual([]);
  });

  it('points at every scope and service that is not there, and says what is', () => {
    const grants = [
      { service: 'service-a', scopes: ['reports:read', 'reports:delete', 'orders:*'] },
      { service: 'service-y', scopes: ['reports:read'] },
      { service: 'service-x', scopes: ['reports:read'] },
    ];
    const has = 'it has reports:read, reports:write, users:*';
    expect(grantFaults(grants, services)).toEqual([
      { pointer: '/grants/0/scopes/1', detail: `service-a has no scope reports:delete; ${has}` },
      { pointer: '/grants/0/scopes/2', detail: `service-a has no scope orders:*; ${has}` },
      {
        pointer: '/grants/1/service',
        detail: 'There is no service service-y',
        code: 'INVALID_VALUE',
      },
      { pointer: '/grants/2/scopes/0', detail: 'service-x has no scopes yet' },
    ]);
  });

  it('names ten scopes of a long catalogue', () => {
    const scopes = Array.from({ length: 12 }, (_, n) => `r${n}:read`);
    const faults = grantFaults(
      [{ service: 'service-a', scopes: ['users:read'] }],
      [{ slug: 'service-a', scopes }],
    );
    expect(faults).toEqual([
      {
        pointer: '/grants/0/scopes/0',
        detail: `service-a has no scope users:read; it has ${scopes.slice(0, 10).join(', ')} and 2 more`,
      },
    ]);
  });

  it('allows whatever the catalogue itself names', () => {
    fc.assert(
      fc.property(fc.array(someScope), (scopes) => {
        const catalogue = [{ slug: 'service-a', scopes }];
        expect(grantFaults([{ service: 'service-a', scopes }], catalogue)).toEqual([]);
      }),
    );
  });
});
