import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { verifyBatchBody, verifyBody } from '#contracts';
import { isPlainVerifyBatch, isPlainVerifyBody } from './plain-body.js';

const word = fc.stringMatching(/^[a-z0-9-]{1,8}$/);
const goodScope = fc
  .tuple(fc.array(word, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([words, isWild]) => words.join(':') + (isWild ? ':*' : ''));
const anything = fc.jsonValue({ maxDepth: 2 });
/** As a body arrives: a value of JSON. */
const asSent = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const scope = fc.oneof(
  goodScope,
  fc.string(),
  fc.string({ minLength: 120, maxLength: 140 }),
  anything,
);
const scopes = fc.oneof(
  fc.array(scope, { maxLength: 4 }),
  fc.array(goodScope, { minLength: 48, maxLength: 53 }),
  fc.record({ anyOf: fc.array(goodScope, { maxLength: 3 }) }),
  anything,
);
/** Bodies around the border between what the schema takes and what it does not. */
const body = fc.record(
  {
    key: fc.oneof(fc.string(), anything),
    service: fc.oneof(word, fc.string({ maxLength: 70 }), anything),
    scopes,
    environment: fc.oneof(fc.constantFrom('live', 'test', 'Live'), anything),
    clientIp: fc.oneof(fc.ipV4(), fc.ipV6(), fc.string(), anything),
    cost: fc.oneof(
      fc.integer(),
      fc.double(),
      fc.constantFrom(0, 1, 1_000_000, 1_000_001),
      anything,
    ),
    dryRun: fc.oneof(fc.boolean(), anything),
    other: anything,
  },
  { requiredKeys: [] },
);

describe('what need not be asked of the schema', () => {
  it('is taken by the schema, unchanged', () => {
    const holds = fc.check(
      fc.property(fc.oneof(body, anything), (drawn) => {
        const given = asSent(drawn);
        if (isPlainVerifyBody(given)) assert.deepStrictEqual(verifyBody.parse(given), given);
      }),
      { numRuns: 5_000 },
    );
    expect(holds).toMatchObject({ failed: false });
  });

  it('is taken by the schema, unchanged, in batches too', () => {
    const batch = fc.record(
      {
        requests: fc.oneof(fc.array(body, { maxLength: 3 }), anything),
        partial: fc.oneof(fc.boolean(), anything),
        other: anything,
      },
      { requiredKeys: [] },
    );
    const holds = fc.check(
      fc.property(fc.oneof(batch, anything), (drawn) => {
        const given = asSent(drawn);
        if (isPlainVerifyBatch(given)) assert.deepStrictEqual(verifyBatchBody.parse(given), given);
      }),
      { numRuns: 2_000 },
    );
    expect(holds).toMatchObject({ failed: false });
    const many = (count: number) => ({
      requests: Array.from({ length: count }, () => ({ key: 'k' })),
    });
    expect([0, 1, 100, 101].map((count) => isPlainVerifyBatch(many(count)))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  it('is all that a service usually asks', () => {
    const usual = {
      key: 'kw_live_x',
      service: 'service-a',
      scopes: ['reports:read', 'reports:*'],
      environment: 'live',
      clientIp: '192.0.2.7',
      cost: 3,
      dryRun: true,
    };
    expect(isPlainVerifyBody(usual)).toBe(true);
    expect(isPlainVerifyBody({ key: 'x'.repeat(64 * 1_024) })).toBe(true);
    expect(isPlainVerifyBody({ key: 'x'.repeat(64 * 1_024 + 1) })).toBe(false);
  });
});
