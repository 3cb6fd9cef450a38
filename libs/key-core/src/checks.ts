import type { CheckName, Environment, Grant, ScopeRequirement, VerdictCode } from '#contracts';
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

/** All that a check may look at. */
export interface Subject {
  record: KeyRecord;
  /** The secret that was presented, null where it is none of the key's. */
  secret: SecretRecord | null;
  /** The key's grant for the asking service. */
  grant: Grant | undefined;
  request: KeyRequest;
  nowMs: number;
}

/** One rule that a key must pass; `code` is the verdict where it does not. */
export interface Check {
  name: RecordCheckName;
  code: Exclude<DecisionCode, 'VALID'>;
  passes: (subject: Subject) => boolean;
  /** What was compared, for people who may see the whole key. */
  detail: (subject: Subject) => string;
}

/** Names of these rules; limits are checked elsewhere. */
export type RecordCheckName = Exclude<CheckName, 'rateLimits' | 'quota'>;

/**
 * Every rule that needs nothing but the record, in the order in which they are applied. Secret and service come first: who
 * presents a wrong secret, or is not meant, learns nothing. An end holds from its very millisecond; of a secret that was ended
 * by hand always.
 */
export const CHECKS: readonly Check[] = [
  {
    name: 'secret',
    code: 'NOT_FOUND',
    passes: ({ secret }) => secret !== null,
    detail: ({ secret }) => `Secret ${secret?.number ?? 'of another key'}`,
  },
  {
    name: 'service',
    code: 'NOT_FOUND',
    passes: ({ grant }) => grant !== undefined,
    detail: ({ record, request }) =>
      `Granted for ${listed(record.grants.map((one) => one.service))}; asked by ${request.service}`,
  },
  {
    name: 'revocation',
    code: 'REVOKED',
    passes: ({ record }) => record.state !== 'revoked',
    detail: ({ record }) => (record.state === 'revoked' ? 'Revoked' : 'Not revoked'),
  },
  {
    name: 'state',
    code: 'DISABLED',
    passes: ({ record }) => record.state === 'active',
    detail: ({ record }) => `The key is ${record.state}`,
  },
  {
    name: 'consumer',
    code: 'DISABLED',
    passes: ({ record }) => record.consumerEnabled,
    detail: ({ record }) =>
      `The consumer ${record.consumer} is ${record.consumerEnabled ? 'enabled' : 'disabled'}`,
  },
  {
    name: 'overlap',
    code: 'SUPERSEDED',
    passes: ({ secret, nowMs }) =>
      secret?.isEnded !== true && !hasCome(secret?.validUntilMs ?? null, nowMs),
    detail: ({ secret }) => `The secret ends ${timeText(secret?.validUntilMs ?? null)}`,
  },
  {
    name: 'notBefore',
    code: 'NOT_YET_VALID',
    passes: ({ record, nowMs }) => record.notBeforeMs === null || nowMs >= record.notBeforeMs,
    detail: ({ record }) =>
      record.notBeforeMs === null ? 'Usable at once' : `Begins ${timeText(record.notBeforeMs)}`,
  },
  {
    name: 'expiry',
    code: 'EXPIRED',
    passes: ({ record, nowMs }) => !hasCome(record.expiresAtMs, nowMs),
    detail: ({ record }) => `Expires ${timeText(record.expiresAtMs)}`,
  },
  {
    name: 'environment',
    code: 'WRONG_ENVIRONMENT',
    passes: ({ record, request }) =>
      request.environment === undefined || request.environment === record.environment,
    detail: ({ record, request }) =>
      `A ${record.environment} key; asked for ${request.environment ?? 'any'}`,
  },
  {
    name: 'address',
    code: 'IP_NOT_ALLOWED',
    passes: ({ record, request }) => isAllowedFrom(record.ipAllowlist, request.clientIp),
    detail: ({ record, request }) =>
      record.ipAllowlist.length === 0
        ? 'Usable from everywhere'
        : `Usable from ${listed(record.ipAllowlist)}; asked from ${request.clientIp ?? 'an address that was not named'}`,
  },
  {
    name: 'scopes',
    code: 'INSUFFICIENT_SCOPE',
    passes: ({ grant, request }) => satisfies(grant?.scopes ?? [], request.scopes),
    detail: ({ grant, request }) =>
      `Has ${listed(grant?.scopes ?? [])}; needs ${scopesText(request.scopes)}`,
  },
];

function hasCome(endMs: number | null, nowMs: number): boolean {
  return endMs !== null && nowMs >= endMs;
}

function isAllowedFrom(allowlist: readonly string[], clientIp: string | undefined): boolean {
  return allowlist.length === 0 || (clientIp !== undefined && inRanges(allowlist, clientIp));
}

function timeText(ms: number | null): string {
  return ms === null ? 'never' : new Date(ms).toISOString();
}

function scopesText(required: KeyRequest['scopes']): string {
  if (required === undefined || Array.isArray(required)) return listed(required ?? []);
  return `one of ${listed(required.anyOf)}`;
}

function listed(words: readonly string[]): string {
  return words.length === 0 ? 'none' : words.join(', ');
}
