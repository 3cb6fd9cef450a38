import type { Verdict, VerdictCode } from '#contracts';
import type { Decision, KeyRecord } from '#key-core';
import type { Spent } from './record-cache.js';

/** Where and when a record was read. */
export interface Origin {
  source: 'cache' | 'store';
  asOfMs: number;
  ttlSeconds: number;
}

/** How long a refusal that is about no key may be remembered. */
const NEGATIVE_TTL_SECONDS = 1;

/** A refusal that says nothing of any key: junk, an unknown one, a wrong secret, another audience's. */
export function bareRefusal(code: 'MALFORMED' | 'NOT_FOUND', origin: Origin): Verdict {
  return {
    valid: false,
    code,
    decision: decisionOf(
      { ...origin, ttlSeconds: Math.min(origin.ttlSeconds, NEGATIVE_TTL_SECONDS) },
      0,
    ),
  };
}

/** The verdict of a decision about a key that the presented secret opens, for a service that the key is granted for. */
export function verdictOf(
  record: KeyRecord,
  decision: Decision,
  origin: Origin,
  spent: Spent | null,
): Verdict {
  const code = codeOf(decision, spent);
  return {
    valid: code === 'VALID',
    code,
    keyId: record.keyId,
    consumer: record.consumer,
    environment: record.environment,
    ...(decision.scopes && { scopes: decision.scopes }),
    expiresAt: record.expiresAtMs === null ? null : iso(record.expiresAtMs),
    ...(code === 'VALID' && { metadata: record.metadata as Verdict['metadata'] }),
    ...(spent && record.rateLimits.length > 0 && { rateLimits: limitStates(record, spent) }),
    ...(spent &&
      spent.refusedBy > 0 && { retryAfterSeconds: Math.max(1, Math.ceil(spent.retryMs / 1_000)) }),
    ...(decision.superseded && {
      rotation: { superseded: true, validUntil: iso(decision.superseded.validUntilMs) },
    }),
    decision: decisionOf(origin, record.version),
  };
}

function codeOf(decision: Decision, spent: Spent | null): VerdictCode {
  return decision.code === 'VALID' && spent !== null && spent.refusedBy > 0
    ? 'RATE_LIMITED'
    : decision.code;
}

function limitStates(record: KeyRecord, spent: Spent) {
  return record.rateLimits.map(({ name, limit }, i) => ({
    name,
    limit,
    remaining: spent.states[i]!.remaining,
    resetSeconds: Math.ceil(spent.states[i]!.resetMs / 1_000),
  }));
}

function decisionOf({ source, asOfMs, ttlSeconds }: Origin, version: number): Verdict['decision'] {
  return { source, asOf: iso(asOfMs), ttlSeconds, version };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
