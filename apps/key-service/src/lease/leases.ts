import type { Lease, LeaseWish, Verdict, VerdictCode } from '#contracts';
import type { KeyRecord } from '#key-core';
import type { Usage } from '../usage/usage.js';
import type { Question, Verifier } from '../verify/verifier.js';
import type { PolicyTerms } from './policy-terms.js';

/** What leases are made with. */
export interface LeaseParts {
  verifier: Verifier;
  usage: Pick<Usage, 'count'>;
  terms: PolicyTerms;
}

/** Verdicts after which the key itself may still be good for another question. */
const ALIVE: ReadonlySet<VerdictCode> = new Set<VerdictCode>([
  'VALID',
  'INSUFFICIENT_SCOPE',
  'IP_NOT_ALLOWED',
  'WRONG_ENVIRONMENT',
  'RATE_LIMITED',
  'QUOTA_EXCEEDED',
]);

/**
 * Verdicts for guards that decide by themselves for a while: the verdict as anybody gets it, and a lease beside it. Permits
 * are units like any other, spent when they are leased, so that all guards together never pass more than a limit allows; who
 * leases them counts their use.
 */
export class Leases {
  constructor(private readonly parts: LeaseParts) {}

  /** @throws as {@link Verifier.verify} */
  async verify(question: Question, wish: LeaseWish): Promise<Verdict> {
    const { verifier, usage, terms } = this.parts;
    const { verdict, record } = await verifier.decideOn(question);
    if (wish.counted !== true || verdict.keyId === undefined) usage.count(question, verdict);
    if (record === null || !ALIVE.has(verdict.code)) return verdict;
    const told = await terms.of(question.service);
    const taken = await this.take(question, verdict, wish.permits);
    return {
      ...verdict,
      ...taken.states,
      lease: leaseOf({ record, verdict }, told, taken.permits),
    };
  }

  /**
   * Takes permits for a key that was just let through: as many as are wished and there, or none. Twice at most, as others take
   * meanwhile.
   */
  private async take(question: Question, verdict: Verdict, wished: number): Promise<Taken> {
    const left = leftIn(verdict);
    if (!verdict.valid || question.isDry || left === Infinity || wished === 0) return NOTHING;
    const first = await this.tryTake(question, verdict, Math.min(wished, left));
    if (first.permits > 0 || first.left === 0) return first;
    return this.tryTake(question, verdict, Math.min(wished, first.left));
  }

  private async tryTake(question: Question, verdict: Verdict, permits: number): Promise<Taken> {
    if (permits === 0) return NOTHING;
    const more = { ...question, cost: permits, isFresh: false };
    const answer = await this.parts.verifier.decideOn(more).catch(() => null);
    if (answer?.verdict.decision.version !== verdict.decision.version) return NOTHING;
    const { rateLimits, quota, valid } = answer.verdict;
    const states = { ...(rateLimits && { rateLimits }), ...(quota && { quota }) };
    return { permits: valid ? permits : 0, left: valid ? 0 : leftIn(answer.verdict), states };
  }
}

/** How taking permits went: `left` may be there for another try. */
interface Taken {
  permits: number;
  left: number;
  states: Pick<Verdict, 'rateLimits' | 'quota'>;
}

const NOTHING: Taken = { permits: 0, left: 0, states: {} };

/** Units that may be there still; infinity where nothing limits the key. */
function leftIn({ rateLimits = [], quota }: Verdict): number {
  return Math.min(...rateLimits.map((one) => one.remaining), quota?.remaining ?? Infinity);
}

function leaseOf(
  { record, verdict }: { record: KeyRecord; verdict: Verdict },
  { graceSeconds, sensitiveScopes }: Pick<Lease, 'graceSeconds' | 'sensitiveScopes'>,
  permits: number,
): Lease {
  const { notBeforeMs, ipAllowlist, rateLimits, quota, metadata } = record;
  return {
    notBefore: notBeforeMs === null ? null : new Date(notBeforeMs).toISOString(),
    ipAllowlist,
    rateLimits,
    hasQuota: quota !== null,
    ...(verdict.metadata === undefined && { metadata: metadata as NonNullable<Lease['metadata']> }),
    permits,
    graceSeconds,
    sensitiveScopes,
  };
}
