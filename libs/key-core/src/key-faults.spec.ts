import { DEFAULT_POLICY, type Policy, type RateLimit } from '#contracts';
import * as fc from 'fast-check';
import {
  addressFaults,
  boundDefaults,
  expiryFaults,
  grantableFaults,
  isWithin,
  keyFaults,
  rateLimitFaults,
  strictest,
  type RuledSettings,
} from './key-faults.js';
import { covers } from './scopes.js';
import { NOW_MS, someScope } from './testing.js';

function ruling(changed: Partial<Policy>, slug = 'service-a') {
  return { slug, policy: { ...DEFAULT_POLICY, ...changed } };
}

function limit(name: string, units: number, windowSeconds: number): RateLimit {
  return { name, limit: units, windowSeconds };
}

const someLimit: fc.Arbitrary<RateLimit> = fc.record(
  {
    name: fc.constantFrom('burst', 'day', 'all'),
    limit: fc.integer({ min: 1, max: 20 }),
    windowSeconds: fc.integer({ min: 1, max: 20 }),
    sharedBy: fc.constant('consumer' as const),
  },
  { requiredKeys: ['name', 'limit', 'windowSeconds'] },
);
const someLimits = fc.uniqueArray(someLimit, { selector: (one) => one.name, maxLength: 3 });
const somePolicy = fc
  .record({
    maxLifetimeSeconds: fc.option(fc.integer({ min: 1, max: 100 })),
    expiryRequired: fc.boolean(),
    maxRateLimits: someLimits,
    ipAllowlistRequired: fc.boolean(),
    grantableScopes: fc.option(fc.array(someScope, { maxLength: 3 })),
  })
  .map((changed) => ruling(changed));
const someSettings: fc.Arbitrary<RuledSettings> = fc.record({
  grants: fc
    .array(someScope, { minLength: 1, maxLength: 3 })
    .map((scopes) => [{ service: 'service-a', scopes }]),
  expiresAtMs: fc.option(fc.integer({ min: NOW_MS, max: NOW_MS + 120_000 })),
  rateLimits: someLimits,
  ipAllowlist: fc.array(fc.constantFrom('10.0.0.0/8', '0.0.0.0/0', '::/0', '192.0.2.1')),
});

describe('rate limits', () => {
  const services = [
    ruling({ maxRateLimits: [limit('burst', 10, 1), limit('day', 1_000, 86_400)] }),
  ];

  it('pass where each that the policy bounds is there with neither rate nor burst above it', () => {
    const fits = [limit('day', 500, 86_400), limit('burst', 10, 1), limit('more', 1_000, 1)];
    expect(rateLimitFaults(fits, services)).toEqual([]);
    expect(rateLimitFaults([], [ruling({})])).toEqual([]);
  });

  it('are named with what would be right where one is too high or missing', () => {
    expect(rateLimitFaults([limit('x', 1, 1), limit('burst', 21, 2)], services)).toEqual([
      { pointer: '/rateLimits/1', detail: 'service-a allows at most 10 in 1 s' },
      {
        pointer: '/rateLimits',
        detail: 'service-a requires a limit named day of at most 1000 in 86400 s',
      },
    ]);
  });

  it('are compared exactly, at the bounds too', () => {
    const rate = fc.record({
      name: fc.constant('x'),
      limit: fc.integer({ min: 1, max: 1_000_000_000 }),
      windowSeconds: fc.integer({ min: 1, max: 2_592_000 }),
    });
    fc.assert(
      fc.property(rate, rate, (one, other) => {
        const left = BigInt(one.limit) * BigInt(other.windowSeconds);
        const right = BigInt(other.limit) * BigInt(one.windowSeconds);
        expect(isWithin(one, other)).toBe(one.limit <= other.limit && left <= right);
      }),
    );
    expect(isWithin(limit('x', 1_000_000_000, 2_592_000), limit('x', 999_999_999, 2_592_000))).toBe(
      false,
    );
  });

  it('that each key has for itself are not within a maximum that the consumer shares', () => {
    const most = { ...limit('burst', 10, 1), sharedBy: 'consumer' as const };
    const rules = [ruling({ maxRateLimits: [most] })];
    const detail = 'service-a allows at most 10 in 1 s, shared by the consumer';
    expect(rateLimitFaults([limit('burst', 1, 1)], rules)).toEqual([
      { pointer: '/rateLimits/0', detail },
    ]);
    expect(rateLimitFaults([{ ...most, limit: 9 }], rules)).toEqual([]);
    expect(rateLimitFaults([{ ...most, limit: 11 }], rules)).toHaveLength(1);
    expect(rateLimitFaults([most, limit('day', 1, 86_400)], services)).toEqual([]);
    const defaultRateLimits = [limit('burst', 1, 1)];
    expect(boundDefaults({ defaultRateLimits, maxRateLimits: [most] })).toEqual([most]);
  });

  it('of two with one name the strictest is within both, and is one of them where that is within the other', () => {
    const names = fc.constant('burst');
    const named = fc.tuple(someLimit, names).map(([one, name]) => ({ ...one, name }));
    fc.assert(
      fc.property(named, named, (one, other) => {
        const least = strictest(one, other);
        expect(isWithin(least, one) && isWithin(least, other)).toBe(true);
        expect(least.limit).toBe(Math.min(one.limit, other.limit));
        expect(isWithin(one, other) ? least : one).toEqual(one);
        expect(strictest(other, one)).toEqual(least);
      }),
    );
    expect(strictest(limit('burst', 10, 10), limit('burst', 2, 1))).toEqual(limit('burst', 2, 2));
  });

  it('taken from the defaults of a policy are within its own maxima', () => {
    fc.assert(
      fc.property(someLimits, someLimits, (defaultRateLimits, maxRateLimits) => {
        const bound = boundDefaults({ defaultRateLimits, maxRateLimits });
        expect(bound.map((one) => one.name)).toEqual(defaultRateLimits.map((one) => one.name));
        const named = maxRateLimits.filter(({ name }) => bound.some((one) => one.name === name));
        expect(rateLimitFaults(bound, [ruling({ maxRateLimits: named })])).toEqual([]);
      }),
    );
  });
});

describe('addresses', () => {
  it('are required where the policy says so, and a range too wide to be a place does not count', () => {
    const fault = {
      pointer: '/ipAllowlist',
      detail: 'service-a requires a list of addresses, none wider than /8 or, in IPv6, /16',
    };
    const services = [ruling({ ipAllowlistRequired: true }), ruling({}, 'service-x')];
    for (const list of [
      [],
      ['0.0.0.0/0'],
      ['10.0.0.0/8', '::/0'],
      ['0.0.0.0/1', '128.0.0.0/1'],
      ['::ffff:0:0/96'],
      ['2000::/3'],
      ['f000::/7'],
      ['fc00::/6'],
    ])
      expect(addressFaults(list, services)).toEqual([fault]);
    const fine = ['10.0.0.0/8', '::ffff:10.0.0.0/104', '2001::/16', 'fc00::/7', 'fd00::/8', '::1'];
    expect(addressFaults(fine, services)).toEqual([]);
    expect(addressFaults([], [ruling({})])).toEqual([]);
  });
});

describe('scopes', () => {
  const services = [ruling({ grantableScopes: ['reports:read', 'users:*'] })];
  const grants = (...scopes: string[]) => [{ service: 'service-a', scopes }];

  it('pass where one that may be granted covers them, never the other way round', () => {
    expect(grantableFaults(grants('reports:read', 'users:*', 'users:own:read'), services)).toEqual(
      [],
    );
    const detail = 'service-a lets nobody grant this; it allows reports:read, users:*';
    expect(grantableFaults(grants('reports:*', 'reports:write', 'users'), services)).toEqual([
      { pointer: '/grants/0/scopes/0', detail },
      { pointer: '/grants/0/scopes/1', detail },
      { pointer: '/grants/0/scopes/2', detail },
    ]);
  });

  it('that the key holds stay, and may be narrowed', () => {
    const held = grants('reports:*');
    expect(grantableFaults(grants('reports:*', 'reports:write'), services, held)).toEqual([]);
    expect(grantableFaults(grants('orders:read'), services, held)).toHaveLength(1);
  });

  it('never pass beyond what may be granted', () => {
    fc.assert(
      fc.property(fc.array(someScope), fc.array(someScope), someScope, (allowed, asked, wanted) => {
        const services = [ruling({ grantableScopes: allowed })];
        if (grantableFaults(grants(...asked), services).length > 0) return;
        const has = (list: string[]) => list.some((scope) => covers(scope, wanted));
        expect(has(asked) && !has(allowed)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the end', () => {
  it('is required, and within the longest life from now', () => {
    const bounded = [ruling({ maxLifetimeSeconds: 60 })];
    const detail = 'service-a requires an expiry, at the latest 2027-01-31T12:01:00.000Z';
    expect(expiryFaults(NOW_MS + 60_000, bounded, NOW_MS)).toEqual([]);
    for (const end of [null, NOW_MS + 60_001])
      expect(expiryFaults(end, bounded, NOW_MS)).toEqual([{ pointer: '/expiresAt', detail }]);
    const required = [ruling({ expiryRequired: true })];
    expect(expiryFaults(NOW_MS + 1e12, required, NOW_MS)).toEqual([]);
    expect(expiryFaults(null, required, NOW_MS)).toEqual([
      { pointer: '/expiresAt', detail: 'service-a requires an expiry' },
    ]);
  });
});

describe('a whole key', () => {
  it('breaks nothing of a policy that demands nothing', () => {
    fc.assert(
      fc.property(someSettings, (settings) => {
        expect(keyFaults(settings, [ruling({})], NOW_MS)).toEqual([]);
      }),
    );
  });

  it('breaks several policies where it breaks one of them', () => {
    fc.assert(
      fc.property(someSettings, somePolicy, somePolicy, (settings, one, other) => {
        const grants = [...settings.grants, { service: 'service-x', scopes: ['reports'] }];
        const both = [one, { ...other, slug: 'service-x' }];
        const all = keyFaults({ ...settings, grants }, both, NOW_MS);
        const each = both.flatMap((service) =>
          keyFaults({ ...settings, grants }, [service], NOW_MS),
        );
        expect(all.map((fault) => fault.detail).toSorted()).toEqual(
          each.map((fault) => fault.detail).toSorted(),
        );
      }),
    );
  });

  it('never gets better by a stricter policy', () => {
    fc.assert(
      fc.property(
        someSettings,
        somePolicy,
        fc.constantFrom(0, 1, 2),
        (settings, service, which) => {
          const stricter = [
            { ipAllowlistRequired: true },
            { expiryRequired: true },
            { grantableScopes: [] },
          ][which]!;
          const strict = { ...service, policy: { ...service.policy, ...stricter } };
          const before = keyFaults(settings, [service], NOW_MS).length;
          expect(keyFaults(settings, [strict], NOW_MS).length).toBeGreaterThanOrEqual(before);
        },
      ),
    );
  });
});
