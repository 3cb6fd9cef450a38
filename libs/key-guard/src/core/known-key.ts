import type { Lease, Verdict } from '#contracts';
import { decide, type DecisionCode, type KeyRecord, type SecretRecord } from '#key-core';
import { permitsOf, type Permits } from './permits.js';
import type { FullVerdict } from './read-verdict.js';
import type { Recent } from './recent-texts.js';
import type { Tally } from './usage-report.js';

/** What a guard knows of one secret of one key, from one answer of the key service. */
export interface KnownKey {
  /** SHA-256 of the whole presented key; a guard is of one service. */
  digest: string;
  record: KeyRecord;
  secret: SecretRecord;
  /** When the question was sent that it is the answer to, by `performance.now()`: as of then it holds at least. */
  sentAtMs: number;
  /** When its time is over. */
  untilMs: number;
  /** Time of the feed in which it was got, null where changes before it may not all have been told. */
  era: number | null;
  asOf: string;
  /** Whether the key service itself went by the grace: shared by those who wait for it, and not kept. */
  isStale: boolean;
  expiresAt: string | null;
  /** Since when there is a newer secret; null where that is not told. */
  supersededSince: string | null;
  /** Null where nothing limits the key. */
  permits: Permits | null;
  /** Where its last use was counted. */
  tally: Tally | null;
  /** How it was let through lately. */
  recent: Recent | null;
}

/** What is asked of a known key. */
export type Request = Parameters<typeof decide>[2];

/** Where and when something was learnt of a key. */
export interface Learnt {
  digest: string;
  service: string;
  sentAtMs: number;
  /** How long it may be used, as the guard and the answer say. */
  lifeMs: number;
  era: number | null;
}

/** What the answer to a question with a lease says of the key. */
export function knownKeyOf(
  verdict: FullVerdict,
  lease: Lease,
  { digest, service, sentAtMs, lifeMs, era }: Learnt,
): KnownKey {
  const secret = {
    number: verdict.secretNumber,
    digest: NO_DIGEST,
    pepperVersion: 0,
    issuedAtMs: 0,
    validUntilMs: timeOf(verdict.rotation?.validUntil),
    isEnded: false,
  };
  return {
    digest,
    record: recordOf(verdict, lease, { service, secret }),
    secret,
    sentAtMs,
    untilMs: sentAtMs + lifeMs,
    era,
    asOf: verdict.decision.asOf,
    isStale: verdict.decision.stale === true,
    expiresAt: verdict.expiresAt ?? null,
    supersededSince: verdict.rotation?.since ?? null,
    permits: permitsOf({ verdict, lease, sentAtMs }, lifeMs),
    tally: null,
    recent: null,
  };
}

/** The record as the key service has it, as far as it concerns this service. Every verdict on the key shares what is frozen of it. */
function recordOf(
  { keyId, consumer, environment, scopes, decision, expiresAt, metadata }: FullVerdict,
  lease: Lease,
  { service, secret }: { service: string; secret: SecretRecord },
): KeyRecord {
  return {
    keyId,
    version: decision.version,
    consumer,
    consumerEnabled: true,
    environment,
    state: 'active',
    notBeforeMs: timeOf(lease.notBefore),
    expiresAtMs: timeOf(expiresAt),
    grants: [{ service, scopes: frozen(scopes) }],
    rateLimits: lease.rateLimits,
    quota: null,
    ipAllowlist: lease.ipAllowlist,
    metadata: frozen(metadata ?? lease.metadata ?? {}),
    importId: null,
    secrets: [secret],
  };
}

/** Whole seconds for which it may still be used, as verdicts on it tell. */
export function secondsLeft({ untilMs }: KnownKey, nowMs: number): number {
  return Math.max(0, Math.floor((untilMs - nowMs) / 1_000));
}

/** What is decided on a known key now: by the rules that the key service goes by. */
export function decideOn(
  { record, secret }: KnownKey,
  request: Request,
  nowMs: number,
): DecisionCode {
  return decide(record, secret, request, nowMs).code;
}

/** The verdict as the key service would give it. */
export function verdictOn(
  known: KnownKey,
  code: Verdict['code'],
  { ttlSeconds, isStale }: { ttlSeconds: number; isStale: boolean },
): Verdict {
  const { record, secret } = known;
  const verdict: Verdict = {
    valid: code === 'VALID',
    code,
    keyId: record.keyId,
    secretNumber: secret.number,
    consumer: record.consumer,
    environment: record.environment,
    scopes: record.grants[0]!.scopes,
    expiresAt: known.expiresAt,
    decision: { source: 'cache', asOf: known.asOf, ttlSeconds, version: record.version },
  };
  if (code === 'VALID') verdict.metadata = record.metadata as NonNullable<Lease['metadata']>;
  if (secret.validUntilMs !== null)
    verdict.rotation = rotationOn(known.supersededSince, secret.validUntilMs);
  if (isStale || known.isStale) verdict.decision.stale = true;
  return verdict;
}

function rotationOn(since: string | null, untilMs: number): NonNullable<Verdict['rotation']> {
  const rotation = { superseded: true, validUntil: new Date(untilMs).toISOString() } as const;
  return since === null ? rotation : { ...rotation, since };
}

/** So that nobody who is handed it gives the key more than it has, or changes what is handed to others. Deep. */
export function frozen<T extends object>(value: T): T {
  for (const part of Object.values(value) as unknown[])
    if (typeof part === 'object' && part !== null) frozen(part);
  return Object.freeze(value);
}

const NO_DIGEST = '';

function timeOf(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Date.parse(text);
}
