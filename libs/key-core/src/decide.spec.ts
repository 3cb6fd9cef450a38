import * as fc from 'fast-check';
import type { KeyRequest } from './checks.js';
import { type Decision, decide, decideForHolder, explainDecision } from './decide.js';
import { decidedUntilMs } from './decided-until.js';
import { inRanges } from './ip-ranges.js';
import type { KeyRecord, SecretRecord } from './record.js';
import { satisfies } from './scopes.js';
import {
  NOW_MS,
  exampleRecord,
  exampleSecret,
  nearlyUsableRecord,
  someRecord,
  someScope,
  someSecret,
} from './testing.js';

const request: KeyRequest = { service: 'service-a', scopes: ['reports:read'] };
const scopes = ['reports:read'];

const someRequest: fc.Arbitrary<KeyRequest> = fc.record({
  service: fc.constantFrom('service-a', 'service-x', 'service-y'),
  scopes: fc.option(
    fc.oneof(
      fc.uniqueArray(someScope, { maxLength: 3 }),
      fc.record({ anyOf: fc.uniqueArray(someScope, { maxLength: 3 }) }),
    ),
    { nil: undefined },
  ),
  environment: fc.constantFrom(undefined, 'live', 'test'),
  clientIp: fc.constantFrom(undefined, '10.1.2.3', '::ffff:192.0.2.7', '203.0.113.9'),
});

/** Something wrong with a call, and the code it has by itself. In the order of the checks. */
const WRONGS: { code: Decision['code']; spoil: (call: Call) => void }[] = [
  { code: 'NOT_FOUND', spoil: (call) => (call.secret = null) },
  { code: 'NOT_FOUND', spoil: (call) => (call.record.grants = [{ service: 'service-x', scopes }]) },
  { code: 'REVOKED', spoil: (call) => (call.record.state = 'revoked') },
  { code: 'DISABLED', spoil: (call) => (call.record.consumerEnabled = false) },
  { code: 'SUPERSEDED', spoil: (call) => (call.endMs = NOW_MS) },
  { code: 'NOT_YET_VALID', spoil: (call) => (call.record.notBeforeMs = NOW_MS + 1) },
  { code: 'EXPIRED', spoil: (call) => (call.record.expiresAtMs = NOW_MS) },
  { code: 'WRONG_ENVIRONMENT', spoil: (call) => (call.record.environment = 'test') },
  { code: 'IP_NOT_ALLOWED', spoil: (call) => (call.record.ipAllowlist = ['192.0.2.0/24']) },
  { code: 'INSUFFICIENT_SCOPE', spoil: (call) => (call.request.scopes = ['reports:write']) },
];

interface Call {
  record: KeyRecord;
  secret: SecretRecord | null;
  endMs: number;
  request: KeyRequest;
}

describe('decide', () => {
  it('allows the current secret of an active key what it was granted', () => {
    expect(decide(exampleRecord(), exampleSecret(), request, NOW_MS)).toEqual({
      code: 'VALID',
      scopes,
    });
  });

  it('answers with the first check that fails, whatever else fails', () => {
    for (let wrongs = 0; wrongs < 2 ** WRONGS.length; wrongs++) {
      const present = WRONGS.filter((_, bit) => (wrongs >> bit) & 1);
      const call: Call = {
        record: exampleRecord(),
        secret: exampleSecret(),
        endMs: NOW_MS + 1,
        request: { ...request, environment: 'live', clientIp: '10.1.2.3' },
      };
      for (const { spoil } of present) spoil(call);
      const secret = call.secret && { ...call.secret, validUntilMs: call.endMs };
      const isForeign = call.record.grants[0]!.service !== 'service-a';
      const about =
        secret === null || isForeign ? {} : { scopes, superseded: { validUntilMs: call.endMs } };
      expect(decide(call.record, secret, call.request, NOW_MS)).toEqual({
        code: present[0]?.code ?? 'VALID',
        ...about,
      });
    }
  });

  it('answers NOT_FOUND and nothing else to a wrong secret, whatever the state of the key', () => {
    fc.assert(
      fc.property(someRecord, someRequest, (record, request) => {
        expect(decide(record, null, request, NOW_MS)).toEqual({ code: 'NOT_FOUND' });
      }),
    );
  });

  it('answers NOT_FOUND and nothing else to a service that the key is not meant for, whatever its state', () => {
    fc.assert(
      fc.property(someRecord, someSecret, someRequest, (record, secret, request) => {
        const grants = record.grants.filter((one) => one.service !== request.service);
        expect(decide({ ...record, grants }, secret, request, NOW_MS)).toEqual({
          code: 'NOT_FOUND',
        });
      }),
    );
  });

  it('does not let a scope of one service count at another', () => {
    const record = exampleRecord({
      grants: [
        { service: 'service-a', scopes },
        { service: 'service-x', scopes: ['reports:write'] },
      ],
    });
    const wanted: KeyRequest = { service: 'service-a', scopes: ['reports:write'] };
    expect(decide(record, exampleSecret(), wanted, NOW_MS)).toEqual({
      code: 'INSUFFICIENT_SCOPE',
      scopes,
    });
    expect(decide(record, exampleSecret(), { ...wanted, service: 'service-x' }, NOW_MS)).toEqual({
      code: 'VALID',
      scopes: ['reports:write'],
    });
  });

  it.each(['disabled', 'revoked'] as const)('refuses a %s key', (state) => {
    const code = state === 'revoked' ? 'REVOKED' : 'DISABLED';
    const decision = decide(exampleRecord({ state }), exampleSecret(), request, NOW_MS);
    expect(decision).toEqual({ code, scopes });
  });

  it('a key is EXPIRED from the very millisecond of its expiry', () => {
    const record = exampleRecord({ expiresAtMs: NOW_MS });
    const codeAt = (ms: number) => decide(record, exampleSecret(), request, ms).code;
    expect([-1, 0, 1].map((ms) => codeAt(NOW_MS + ms))).toEqual(['VALID', 'EXPIRED', 'EXPIRED']);
  });

  it('a key is valid from the very millisecond of its not-before', () => {
    const record = exampleRecord({ notBeforeMs: NOW_MS });
    const codeAt = (ms: number) => decide(record, exampleSecret(), request, ms).code;
    expect([-1, 0, 1].map((ms) => codeAt(NOW_MS + ms))).toEqual([
      'NOT_YET_VALID',
      'VALID',
      'VALID',
    ]);
  });

  it('a secret is SUPERSEDED from the very millisecond of its end, and says its end before', () => {
    const secret = exampleSecret({ validUntilMs: NOW_MS });
    const superseded = { validUntilMs: NOW_MS };
    const decisionAt = (ms: number) => decide(exampleRecord(), secret, request, ms);
    expect(decisionAt(NOW_MS - 1)).toEqual({ code: 'VALID', scopes, superseded });
    expect(decisionAt(NOW_MS)).toEqual({ code: 'SUPERSEDED', scopes, superseded });
  });

  it('a superseded secret says since when: from when the next one was made, as far as that is known', () => {
    const secrets = [1, 2, 3].map((number) =>
      exampleSecret({ number, issuedAtMs: NOW_MS + number, validUntilMs: NOW_MS + 9 - number }),
    );
    const sinceOf = (record: KeyRecord) =>
      secrets.map((secret) => decide(record, secret, request, NOW_MS).superseded?.sinceMs);
    expect(sinceOf(exampleRecord({ secrets }))).toEqual([NOW_MS + 2, NOW_MS + 3, undefined]);
    expect(sinceOf(exampleRecord({ secrets: [secrets[2]!] }))).toEqual([
      undefined,
      NOW_MS + 3,
      undefined,
    ]);
  });

  it('a secret that was ended by hand is SUPERSEDED however far a clock lags', () => {
    const secret = exampleSecret({ validUntilMs: NOW_MS, isEnded: true });
    const lagging = decide(exampleRecord(), secret, request, NOW_MS - 3_600_000);
    expect(lagging.code).toBe('SUPERSEDED');
  });

  it('a wildcard allows what lies under it', () => {
    const record = exampleRecord({ grants: [{ service: 'service-a', scopes: ['reports:*'] }] });
    const codeOf = (wanted: string) =>
      decide(record, exampleSecret(), { service: 'service-a', scopes: [wanted] }, NOW_MS).code;
    expect(codeOf('reports:write')).toBe('VALID');
    expect(codeOf('reports-old:write')).toBe('INSUFFICIENT_SCOPE');
  });

  it('a key with an allow-list is refused from elsewhere, and where the address is not known', () => {
    const record = exampleRecord({ ipAllowlist: ['10.0.0.0/8'] });
    const codeFrom = (clientIp?: string) =>
      decide(record, exampleSecret(), { ...request, clientIp }, NOW_MS).code;
    expect(codeFrom('10.1.2.3')).toBe('VALID');
    expect(codeFrom('::ffff:10.1.2.3')).toBe('VALID');
    expect(codeFrom('192.0.2.7')).toBe('IP_NOT_ALLOWED');
    expect(codeFrom('2001:db8::1')).toBe('IP_NOT_ALLOWED');
    expect(codeFrom('junk')).toBe('IP_NOT_ALLOWED');
    expect(codeFrom()).toBe('IP_NOT_ALLOWED');
  });

  it('more granted scopes never turn VALID into a refusal, nor one refusal into another', () => {
    fc.assert(
      fc.property(
        nearlyUsableRecord,
        someSecret,
        someRequest,
        someScope,
        (record, secret, request, more) => {
          const before = decide(record, secret, request, NOW_MS).code;
          const grants = record.grants.map((one) => ({ ...one, scopes: [...one.scopes, more] }));
          const after = decide({ ...record, grants }, secret, request, NOW_MS).code;
          const isHelped = before === 'INSUFFICIENT_SCOPE' && after === 'VALID';
          expect(isHelped || after === before).toBe(true);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('fewer required scopes never turn VALID into a refusal', () => {
    const lists = fc.uniqueArray(someScope, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(nearlyUsableRecord, lists, lists, fc.nat(), (record, granted, wanted, at) => {
        const grants = [{ service: 'service-a', scopes: granted }];
        const codeOf = (scopes: string[]) => {
          const request: KeyRequest = { service: 'service-a', scopes };
          return decide({ ...record, grants }, exampleSecret(), request, NOW_MS).code;
        };
        const fewer = wanted.filter((_, place) => place !== at % wanted.length);
        expect(codeOf(wanted) !== 'VALID' || codeOf(fewer) === 'VALID').toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is VALID where every single condition holds, and nowhere else', () => {
    let valid = 0;
    // of secrets and requests that are all at random few let a key be VALID
    const secrets = fc.oneof(fc.constant(exampleSecret()), someSecret);
    const requests = fc.oneof(fc.constant<KeyRequest>({ service: 'service-a' }), someRequest);
    fc.assert(
      fc.property(nearlyUsableRecord, secrets, requests, (record, secret, request) => {
        const grant = record.grants.find((one) => one.service === request.service);
        const conditions = [
          record.state === 'active',
          record.consumerEnabled,
          !secret.isEnded,
          NOW_MS < (secret.validUntilMs ?? Infinity),
          NOW_MS < (record.expiresAtMs ?? Infinity),
          NOW_MS >= (record.notBeforeMs ?? -Infinity),
          grant !== undefined && satisfies(grant.scopes, request.scopes),
          [undefined, record.environment].includes(request.environment),
          record.ipAllowlist.length === 0 || inRanges(record.ipAllowlist, request.clientIp ?? ''),
        ];
        const isValid = decide(record, secret, request, NOW_MS).code === 'VALID';
        expect(isValid).toBe(conditions.every(Boolean));
        valid += Number(isValid);
      }),
      { numRuns: 2_000 },
    );
    expect(valid).toBeGreaterThan(100);
  });

  it('changes nothing that it was given', () => {
    fc.assert(
      fc.property(someRecord, someSecret, someRequest, (record, secret, request) => {
        const before = structuredClone({ record, secret, request });
        decide(record, secret, request, NOW_MS);
        expect(structuredClone({ record, secret, request })).toEqual(before);
      }),
    );
  });

  it('is explained by its own checks: the first that fails gives its code', () => {
    fc.assert(
      fc.property(nearlyUsableRecord, someSecret, someRequest, (record, secret, request) => {
        const checks = explainDecision(record, secret, request, NOW_MS);
        const code = checks.find((one) => !one.passed)?.code ?? 'VALID';
        expect(decide(record, secret, request, NOW_MS).code).toBe(code);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('decideForHolder', () => {
  const clientIp = '192.0.2.7';

  it('asks for no service, environment or scope', () => {
    const record = exampleRecord({ grants: [], environment: 'test' });
    expect(decideForHolder(record, exampleSecret(), clientIp, NOW_MS)).toBe('VALID');
  });

  it.each([
    ['REVOKED', { state: 'revoked' }],
    ['DISABLED', { state: 'disabled' }],
    ['DISABLED', { consumerEnabled: false }],
    ['EXPIRED', { expiresAtMs: NOW_MS }],
    ['NOT_YET_VALID', { notBeforeMs: NOW_MS + 1 }],
    ['IP_NOT_ALLOWED', { ipAllowlist: ['10.0.0.0/8'] }],
  ] as const)('is %s for a key of %j', (code, changed) => {
    const record = exampleRecord(changed as Partial<KeyRecord>);
    expect(decideForHolder(record, exampleSecret(), clientIp, NOW_MS)).toBe(code);
  });

  it('is NOT_FOUND for a wrong secret and SUPERSEDED for an ended one', () => {
    const ended = exampleSecret({ validUntilMs: NOW_MS });
    expect(decideForHolder(exampleRecord(), null, clientIp, NOW_MS)).toBe('NOT_FOUND');
    expect(decideForHolder(exampleRecord(), ended, clientIp, NOW_MS)).toBe('SUPERSEDED');
  });
});

describe('decidedUntilMs', () => {
  it('is a time before which nothing else is decided', () => {
    const someMs = fc.integer({ min: NOW_MS - 6, max: NOW_MS + 6 });
    fc.assert(
      fc.property(
        fc.tuple(fc.oneof(someRecord, nearlyUsableRecord), fc.option(someSecret), someRequest),
        fc.tuple(someMs, fc.nat({ max: 12 })),
        ([record, secret, request], [atMs, laterMs]) => {
          const untilMs = decidedUntilMs(record, secret, atMs);
          expect(untilMs).toBeGreaterThan(atMs);
          const lastMs = Math.min(atMs + laterMs, untilMs - 1);
          const now = decide(record, secret, request, atMs);
          expect(decide(record, secret, request, lastMs)).toEqual(now);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('is the end of the key, its beginning or that of its secret, whichever comes next', () => {
    const record = exampleRecord({ notBeforeMs: NOW_MS - 1, expiresAtMs: NOW_MS + 3 });
    expect(decidedUntilMs(record, exampleSecret(), NOW_MS)).toBe(NOW_MS + 3);
    expect(decidedUntilMs(record, exampleSecret(), NOW_MS - 2)).toBe(NOW_MS - 1);
    const secret = exampleSecret({ validUntilMs: NOW_MS + 2 });
    expect(decidedUntilMs(record, secret, NOW_MS)).toBe(NOW_MS + 2);
    expect(decidedUntilMs(record, secret, NOW_MS + 3)).toBe(Infinity);
  });
});
