import type { Verdict, VerifyBody } from '#contracts';
import {
  decide,
  exceedsLimits,
  matchSecret,
  parseKeyText,
  portableDigestOfText,
  type Decision,
  type KeyRecord,
  type SecretRecord,
} from '#key-core';
import { SERVICE } from '../provisioning/key-provisioner.js';
import type { ForeignKeys } from './foreign-keys.js';
import type { LocalKeysParts } from './local-keys.js';
import { findRow, recordOf, type LocalRow, type Standing } from './local-rows.js';
import { OwnLimits } from './own-limits.js';

/** A question about one of this service's own keys. */
export type LocalQuestion = Pick<
  VerifyBody,
  'key' | 'scopes' | 'environment' | 'clientIp' | 'cost' | 'dryRun'
>;

/** What this service's own store says, and what the key service knows of the key. */
export interface OwnVerdict {
  verdict: Verdict;
  standing: Standing;
}

/** Answers from this service's own store whether a key may do what is asked, by the same rules as the key service. */
export class LocalVerifier {
  private readonly limits = new OwnLimits();

  constructor(
    private readonly parts: Pick<LocalKeysParts, 'pool' | 'peppers' | 'now'>,
    private readonly foreign: ForeignKeys,
  ) {}

  /** @throws where PostgreSQL does not answer, or the secret is not that of the database */
  async verify(question: LocalQuestion): Promise<Verdict> {
    return (await this.judge(question)).verdict;
  }

  /** The same, and what the key service knows of the key that the text names. @throws as {@link verify} */
  async judge(question: LocalQuestion): Promise<OwnVerdict> {
    const nowMs = this.parts.now();
    await this.parts.peppers.confirm();
    const row = await this.rowOf(question.key);
    if (row === 'malformed') return { verdict: this.bare('MALFORMED', nowMs), standing: null };
    const record = row && recordOf(row);
    const secret = await this.secretOf(record, question.key);
    const standing = row?.standing ?? null;
    if (record === null || secret === null)
      return { verdict: this.bare('NOT_FOUND', nowMs), standing };
    return { verdict: this.decideOn(record, secret, { ...question, nowMs }), standing };
  }

  private decideOn(
    record: KeyRecord,
    secret: SecretRecord,
    { nowMs, ...question }: LocalQuestion & { nowMs: number },
  ): Verdict {
    const { scopes, environment, clientIp } = question;
    const decision = decide(
      record,
      secret,
      { service: SERVICE, scopes, environment, clientIp },
      nowMs,
    );
    if (decision.code !== 'VALID') return verdictOf({ record, secret, decision, nowMs });
    const wish = { units: question.cost ?? 1, isDry: question.dryRun === true };
    const taken = this.limits.take(record, record.rateLimits, wish, nowMs);
    const verdict = verdictOf({ record, secret, decision, nowMs });
    const limited = taken.states.length > 0 ? { rateLimits: taken.states } : {};
    if (!taken.isRefused) return { ...verdict, ...limited };
    const { metadata: _, ...refused } = { ...verdict, ...limited };
    const wait = exceedsLimits(wish.units, record)
      ? { costExceedsLimit: true as const }
      : { retryAfterSeconds: taken.retrySeconds };
    return { ...refused, valid: false, code: 'RATE_LIMITED', ...wait };
  }

  /** A key of our form names its id; one that was taken over from elsewhere is found by its digest. */
  private async rowOf(text: string): Promise<LocalRow | null | 'malformed'> {
    const key = parseKeyText(text);
    if (key !== null) return findRow(this.parts.pool, key.keyId);
    return (await this.foreign.find(text)) ?? 'malformed';
  }

  /** Every secret is compared, and a dummy where there is no key. */
  private async secretOf(record: KeyRecord | null, text: string): Promise<SecretRecord | null> {
    const versions = new Set(record?.secrets.map((one) => one.pepperVersion));
    const digests = new Map<number, Buffer>();
    for (const version of versions) {
      const pepper = await this.parts.peppers.get(version);
      if (pepper !== undefined) digests.set(version, portableDigestOfText(pepper, text));
    }
    const own = () => portableDigestOfText(this.parts.peppers.own, text);
    return matchSecret(record, (version) => (record === null ? own() : digests.get(version)));
  }

  private bare(code: 'MALFORMED' | 'NOT_FOUND', nowMs: number): Verdict {
    const source = code === 'MALFORMED' ? 'cache' : 'store';
    return { valid: false, code, decision: { ...decisionAt(nowMs, 0), source } };
  }
}

function verdictOf({
  record,
  secret,
  decision,
  nowMs,
}: {
  record: KeyRecord;
  secret: SecretRecord;
  decision: Decision;
  nowMs: number;
}): Verdict {
  const { code, scopes, superseded } = decision;
  return {
    ...{ valid: code === 'VALID', code, keyId: record.keyId, secretNumber: secret.number },
    ...{ consumer: record.consumer, environment: record.environment },
    ...(scopes && { scopes }),
    expiresAt: record.expiresAtMs === null ? null : iso(record.expiresAtMs),
    ...(code === 'VALID' && { metadata: record.metadata as Verdict['metadata'] }),
    ...(superseded && {
      rotation: {
        superseded: true,
        validUntil: iso(superseded.validUntilMs),
        ...(superseded.sinceMs !== undefined && { since: iso(superseded.sinceMs) }),
      },
    }),
    decision: decisionAt(nowMs, record.version),
  };
}

function decisionAt(nowMs: number, version: number): Verdict['decision'] {
  return { source: 'store', asOf: iso(nowMs), ttlSeconds: 0, version };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
