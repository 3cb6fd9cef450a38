import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import type { KeyRecord, SecretRecord } from './record.js';

/** A moment in tests, in milliseconds. */
export const NOW_MS = Date.parse('2027-01-31T12:00:00Z');

/** A source of bytes that gives the same ones for the same seed. */
export function seededBytes(seed: string): (bytes: number) => Buffer {
  let count = 0;
  return (bytes) => {
    const blocks: Buffer[] = [];
    for (let length = 0; length < bytes; length += 32) {
      blocks.push(createHash('sha256').update(`${seed}/${count++}`).digest());
    }
    return Buffer.concat(blocks).subarray(0, bytes);
  };
}

/** A current secret in tests. */
export function exampleSecret(changed: Partial<SecretRecord> = {}): SecretRecord {
  return {
    number: 1,
    digest: createHash('sha256').update('example').digest('base64'),
    pepperVersion: 1,
    issuedAtMs: NOW_MS - 1_000,
    validUntilMs: null,
    isEnded: false,
    ...changed,
  };
}

/** A usable key in tests: for service-a, scope reports:read. */
export function exampleRecord(changed: Partial<KeyRecord> = {}): KeyRecord {
  return {
    keyId: 'key_3kTMd7QpXvB2nYcF',
    version: 1,
    consumer: 'service-b',
    consumerEnabled: true,
    environment: 'live',
    state: 'active',
    notBeforeMs: null,
    expiresAtMs: null,
    grants: [{ service: 'service-a', scopes: ['reports:read'] }],
    rateLimits: [],
    quota: null,
    ipAllowlist: [],
    metadata: {},
    importId: null,
    secrets: [exampleSecret()],
    ...changed,
  };
}

/** Scopes of few words, so that two of them often meet. */
export const someScope = fc
  .tuple(
    fc.array(fc.constantFrom('reports', 'read', 'write', 'own'), { minLength: 1, maxLength: 3 }),
    fc.boolean(),
  )
  .map(([words, isWildcard]) => words.join(':') + (isWildcard ? ':*' : ''));

const someTime = fc.option(fc.integer({ min: NOW_MS - 5, max: NOW_MS + 5 }));

/** Secrets of every kind. */
export const someSecret: fc.Arbitrary<SecretRecord> = fc.record({
  number: fc.integer({ min: 1, max: 1_000 }),
  digest: fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((bytes) => Buffer.from(bytes).toString('base64')),
  pepperVersion: fc.integer({ min: 1, max: 4 }),
  issuedAtMs: fc.integer({ min: NOW_MS - 5, max: NOW_MS }),
  validUntilMs: someTime,
  isEnded: fc.boolean(),
});

/** Records of every state, near {@link NOW_MS}. */
export const someRecord: fc.Arbitrary<KeyRecord> = fc.record({
  keyId: fc.stringMatching(/^key_[0-9A-Za-z]{16}$/),
  version: fc.integer({ min: 1 }),
  consumer: fc.stringMatching(/^[a-z0-9-]{1,63}$/),
  consumerEnabled: fc.boolean(),
  environment: fc.constantFrom('live', 'test'),
  state: fc.constantFrom('active', 'disabled', 'revoked'),
  importId: fc.option(fc.stringMatching(/^imp_[0-9A-Za-z]{16}$/)),
  notBeforeMs: someTime,
  expiresAtMs: someTime,
  grants: fc.uniqueArray(
    fc.record({
      service: fc.constantFrom('service-a', 'service-x'),
      scopes: fc.uniqueArray(someScope, { maxLength: 4 }),
    }),
    { selector: (grant) => grant.service },
  ),
  rateLimits: fc.array(
    fc.record(
      {
        name: fc.stringMatching(/^[a-z0-9-]{1,32}$/),
        limit: fc.integer({ min: 1, max: 1_000_000_000 }),
        windowSeconds: fc.integer({ min: 1, max: 2_592_000 }),
        sharedBy: fc.constant('consumer' as const),
      },
      { requiredKeys: ['name', 'limit', 'windowSeconds'] },
    ),
    { maxLength: 5 },
  ),
  quota: fc.option(
    fc.oneof(
      fc.record({ setting: fc.integer({ min: 1 }), limit: fc.integer({ min: 1 }) }),
      fc.record({
        setting: fc.integer({ min: 1 }),
        limit: fc.integer({ min: 1 }),
        refill: fc.record({
          amount: fc.integer({ min: 1 }),
          every: fc.constantFrom('day' as const, 'month' as const),
        }),
      }),
    ),
  ),
  ipAllowlist: fc.array(fc.constantFrom('10.0.0.0/8', '2001:db8::/32', '192.0.2.7')),
  metadata: fc.dictionary(
    fc.string({ unit: 'grapheme' }),
    fc.json().map((text): unknown => JSON.parse(text)),
  ),
  secrets: fc.array(someSecret, { maxLength: 3 }),
});

/** The usable key of {@link exampleRecord}, changed in one or two members: of these about a half may still be used. */
export const nearlyUsableRecord: fc.Arbitrary<KeyRecord> = fc
  .tuple(someRecord, fc.subarray(Object.keys(exampleRecord()), { maxLength: 2 }))
  .map(([record, names]) => {
    const changes = Object.entries(record).filter(([name]) => names.includes(name));
    return exampleRecord(Object.fromEntries(changes));
  });
