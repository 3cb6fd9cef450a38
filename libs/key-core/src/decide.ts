import type { Environment, Grant, Refusal, ScopeRequirement, VerdictCode } from '#contracts';
import { inRanges } from './ip-ranges.js';
import type { KeyRecord, SecretRecord } from './record.js';
import { satisfies } from './scopes.js';

/** What a service asks about a presented key. */
export interface KeyRequest {
  /** The asking service, as its own credential says. */
  service: string;
  scopes?: ScopeRequirement | undefined;
  environment?: Environment | undefined;
  /** The caller's address; a key with an allow-list is refused without it. */
  clientIp?: string | undefined;
}

/** Verdicts that need nothing but the record: format and limits are decided before and after. */
export type DecisionCode = Exclude<VerdictCode, 'MALFORMED' | 'RATE_LIMITED' | 'QUOTA_EXCEEDED'>;

/** Answer of {@link decide}. */
export interface Decision {
  code: DecisionCode;
  /** What the key may do at the asking service. There for refusals too, but only where the key is meant for that service: without it say nothing of the key. */
  scopes?: string[];
  /** There, under the same condition, where the presented secret is not the current one. */
  superseded?: { validUntilMs: number };
}

/**
 * Decides on a key from what is known of it. The first check that fails gives the code, in this order: secret and service (`NOT_FOUND`,
 * whatever the state: who presents a wrong secret, or is not meant, learns nothing), state and consumer, the secret's own
 * end, not-before, expiry, environment, address, scopes. An end holds from its very millisecond; of a secret that was ended by
 * hand always.
 *
 * @param secret what `matchSecret` found for the presented text
 */
export function decide(
  record: KeyRecord,
  secret: SecretRecord | null,
  request: KeyRequest,
  nowMs: number,
): Decision {
  if (secret === null) return { code: 'NOT_FOUND' };
  const grant = record.grants.find((one) => one.service === request.service);
  if (grant === undefined) return { code: 'NOT_FOUND' };
  const code = refusalNow(record, secret, nowMs) ?? refusalHere(record, grant, request) ?? 'VALID';
  const { validUntilMs } = secret;
  if (validUntilMs === null) return { code, scopes: grant.scopes };
  return { code, scopes: grant.scopes, superseded: { validUntilMs } };
}

function refusalNow(
  record: KeyRecord,
  secret: SecretRecord,
  nowMs: number,
): (Refusal & DecisionCode) | null {
  if (record.state === 'revoked') return 'REVOKED';
  if (record.state !== 'active' || !record.consumerEnabled) return 'DISABLED';
  if (secret.isEnded || hasCome(secret.validUntilMs, nowMs)) return 'SUPERSEDED';
  if (record.notBeforeMs !== null && nowMs < record.notBeforeMs) return 'NOT_YET_VALID';
  return hasCome(record.expiresAtMs, nowMs) ? 'EXPIRED' : null;
}

function refusalHere(
  record: KeyRecord,
  grant: Grant,
  request: KeyRequest,
): (Refusal & DecisionCode) | null {
  const { environment, clientIp, scopes } = request;
  if (environment !== undefined && environment !== record.environment) return 'WRONG_ENVIRONMENT';
  if (!isAllowedFrom(record.ipAllowlist, clientIp)) return 'IP_NOT_ALLOWED';
  return satisfies(grant.scopes, scopes) ? null : 'INSUFFICIENT_SCOPE';
}

function hasCome(endMs: number | null, nowMs: number): boolean {
  return endMs !== null && nowMs >= endMs;
}

function isAllowedFrom(allowlist: readonly string[], clientIp: string | undefined): boolean {
  return allowlist.length === 0 || (clientIp !== undefined && inRanges(allowlist, clientIp));
}
