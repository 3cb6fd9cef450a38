import type { Quota, Verdict } from '#contracts';
import { exceedsLimits, type Decision } from '#key-core';
import type { KeyRecord, SecretRecord, Superseded } from '#key-core';
import { nextRefillMs } from '../quota/next-refill.js';
import type { Spent } from './spending.js';

/** Where and when a record was read. */
export interface Origin {
  source: 'cache' | 'store';
  asOfMs: number;
  ttlSeconds: number;
  /** Whether it may have changed since, as PostgreSQL cannot be asked. */
  isStale: boolean;
}

/** How long a refusal that is about no key may be remembered. */
const NEGATIVE_TTL_SECONDS = 1;

/** A refusal that says nothing of any key: junk, an unknown one, a wrong secret, another audience's. */
export function bareRefusal(code: 'MALFORMED' | 'NOT_FOUND', origin: Origin): Verdict {
  const ttlSeconds = Math.min(origin.ttlSeconds, NEGATIVE_TTL_SECONDS);
  // junk is junk whatever the store holds
  const source = code === 'MALFORMED' ? 'cache' : origin.source;
  return { valid: false, code, decision: decisionOf({ ...origin, source, ttlSeconds }, 0) };
}

/** A refusal of who presents more imported keys than can be looked at now; it says nothing of any key. */
export function busyRefusal(origin: Origin): Verdict {
  const decision = decisionOf({ ...origin, source: 'cache', ttlSeconds: 0 }, 0);
  return { valid: false, code: 'RATE_LIMITED', retryAfterSeconds: 1, decision };
}

/** What a verdict is made of. */
export interface Basis {
  record: KeyRecord;
  /** The one that was presented. */
  secret: SecretRecord;
  decision: Decision;
  origin: Origin;
  /** What was taken from the limits; null where it did not come to that. */
  spent: Spent | null;
  /** Units that were asked for. */
  cost: number;
  nowMs: number;
}

/** The verdict of a decision about a key that the presented secret opens, for a service that the key is granted for. */
export function verdictOf(basis: Basis): Verdict {
  const { record, secret, decision, origin, spent } = basis;
  const code = spent?.refusal ?? decision.code;
  return {
    valid: code === 'VALID',
    code,
    keyId: record.keyId,
    secretNumber: secret.number,
    consumer: record.consumer,
    environment: record.environment,
    ...(decision.scopes && { scopes: decision.scopes }),
    expiresAt: record.expiresAtMs === null ? null : iso(record.expiresAtMs),
    ...(code === 'VALID' && { metadata: record.metadata as Verdict['metadata'] }),
    ...(spent && limitsOf(basis, spent)),
    ...(decision.superseded && { rotation: rotationOf(decision.superseded) }),
    decision: decisionOf(origin, record.version),
  };
}

/** What a verdict says of a secret that is not the current one. */
function rotationOf({ validUntilMs, sinceMs }: Superseded): NonNullable<Verdict['rotation']> {
  const rotation = { superseded: true, validUntil: iso(validUntilMs) } as const;
  return sinceMs === undefined ? rotation : { ...rotation, since: iso(sinceMs) };
}

function limitsOf(basis: Basis, spent: Spent): Partial<Verdict> {
  const { quota } = basis.record;
  const told: Partial<Verdict> = {};
  if (spent.states.length > 0) told.rateLimits = spent.states;
  const refillMs = quota === null ? null : nextRefillMs(quota, basis.nowMs);
  if (quota !== null && spent.quotaLeft !== null) {
    const resetsAt = refillMs === null ? null : iso(refillMs);
    told.quota = { limit: quota.limit, remaining: spent.quotaLeft, resetsAt };
  }
  return spent.refusal === null ? told : { ...told, ...waitOf(basis, spent) };
}

/** What is said of when the same call may pass; nothing where that is never certain. */
function waitOf({ record, cost, nowMs }: Basis, spent: Spent): Partial<Verdict> {
  if (exceedsLimits(cost, record)) return { costExceedsLimit: true };
  const { refusal, retryMs, quotaLeft, exceedsShare } = spent;
  if (exceedsShare) return { costExceedsShare: true };
  const waitMs =
    refusal === 'QUOTA_EXCEEDED' && record.quota !== null
      ? quotaWaitMs(record.quota, cost - (quotaLeft ?? 0), nowMs)
      : retryMs;
  return waitMs === null ? {} : { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)) };
}

/** Until as many refills have come as the units that are missing take; null for a quota that is not refilled. */
function quotaWaitMs(quota: Quota, missing: number, nowMs: number): number | null {
  const refills = Math.max(1, Math.ceil(missing / (quota.refill?.amount ?? Infinity)));
  const refillMs = nextRefillMs(quota, nowMs, refills);
  return refillMs === null ? null : refillMs - nowMs;
}

function decisionOf(
  { source, asOfMs, ttlSeconds, isStale }: Origin,
  version: number,
): Verdict['decision'] {
  const decision = { source, asOf: iso(asOfMs), ttlSeconds, version };
  return isStale ? { ...decision, stale: true } : decision;
}

/** A time in milliseconds since 1970 as it is told. */
export function iso(ms: number): string {
  return new Date(ms).toISOString();
}
