import type { Policy } from '#contracts';
import { WIDEST_PREFIX } from '#key-core';
import type { Principal } from '../access/principal.js';
import type { ServiceEntity } from './service.entity.js';

/** What is looked for: keys of a service that live at a time, and that the principal may see. */
export interface Search {
  service: Pick<ServiceEntity, 'slug' | 'policy'>;
  by: Principal;
  nowMs: number;
}

/**
 * The conditions under which a key `k` with its grant `g` lives and breaks the service's policy, as `keyFaults` judges it;
 * null where no key can. Of the parameters the first is the service, further ones may be added.
 */
export function brokenRules({ service, by, nowMs }: Search): BrokenRules | null {
  const parameters: unknown[] = [service.slug, new Date(nowMs)];
  const bind = (value: unknown) => `$${parameters.push(value)}`;
  const rules = rulesOf(service.policy, nowMs, bind);
  if (rules.length === 0) return null;
  const conditions = [
    `k.state <> 'revoked' AND (k.expires_at IS NULL OR k.expires_at > $2)`,
    `(${rules.join(' OR ')})`,
  ];
  if (by.services !== null) conditions.push(OF_OTHERS.replace('$', () => bind(by.services)));
  return { conditions: conditions.join(' AND '), parameters };
}

/** Conditions and what they are about. */
export interface BrokenRules {
  conditions: string;
  parameters: unknown[];
}

function rulesOf(policy: Policy, nowMs: number, bind: (value: unknown) => string): string[] {
  const { maxLifetimeSeconds: longest, grantableScopes } = policy;
  const rules: string[] = [];
  if (policy.expiryRequired || longest !== null) rules.push('k.expires_at IS NULL');
  if (longest !== null) rules.push(`k.expires_at > ${bind(new Date(nowMs + longest * 1_000))}`);
  if (policy.ipAllowlistRequired) rules.push(`cardinality(k.ip_allowlist) = 0`, TOO_WIDE);
  if (policy.maxRateLimits.length > 0)
    rules.push(TOO_FAST.replace('$', () => bind(JSON.stringify(policy.maxRateLimits))));
  if (grantableScopes !== null)
    rules.push(
      `NOT g.scopes <@ ${bind(grantableScopes)}::text[] AND ${NOT_COVERED.replace('$', () => bind(grantableScopes))}`,
    );
  return rules;
}

const TOO_WIDE = `EXISTS (
  SELECT FROM (SELECT unnest(k.ip_allowlist)::inet AS range) AS held
  WHERE CASE
    WHEN family(range) = 4 THEN masklen(range) < ${WIDEST_PREFIX.ipv4}
    WHEN range <<= '::ffff:0:0/96' THEN masklen(range) - 96 < ${WIDEST_PREFIX.ipv4}
    ELSE masklen(range) < ${WIDEST_PREFIX.ipv6} AND NOT range <<= 'fc00::/7' END)`;

const TOO_FAST = `EXISTS (
  SELECT FROM jsonb_to_recordset($::jsonb) AS most (name text, "limit" bigint, "windowSeconds" bigint, "sharedBy" text)
  WHERE NOT EXISTS (
    SELECT FROM jsonb_to_recordset(k.rate_limits) AS held (name text, "limit" bigint, "windowSeconds" bigint, "sharedBy" text)
    WHERE held.name = most.name AND (most."sharedBy" IS NULL OR held."sharedBy" = most."sharedBy") AND held."limit" <= most."limit"
      AND held."limit" * most."windowSeconds" <= most."limit" * held."windowSeconds"))`;

const NOT_COVERED = `EXISTS (
  SELECT FROM unnest(g.scopes) AS held (scope)
  WHERE NOT EXISTS (
    SELECT FROM unnest($::text[]) AS wide (scope)
    WHERE wide.scope = held.scope
      OR right(wide.scope, 2) = ':*' AND length(held.scope) >= length(wide.scope)
        AND starts_with(held.scope, left(wide.scope, -1))))`;

const OF_OTHERS = `NOT EXISTS (
  SELECT FROM keys.key_grant o WHERE o.key_id = k.id AND o.service <> ALL($))`;
