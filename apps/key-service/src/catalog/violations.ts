import type { EntityManager } from 'typeorm';
import {
  MAX_VIOLATIONS_NAMED,
  type PatchedService,
  type Policy,
  type RateLimit,
  type Violation,
} from '#contracts';
import { keyFaults } from '#key-core';
import type { Principal } from '../access/principal.js';
import type { ServiceEntity } from './service.entity.js';

/** What is looked for: keys of a service that live at a time, and that the principal may see. */
export interface Search {
  service: Pick<ServiceEntity, 'slug' | 'policy'>;
  by: Principal;
  nowMs: number;
}

/** A key that breaks the policy, and its place in the order of creation. */
export interface FoundViolation {
  seq: string;
  violation: Violation;
}

/** How many keys that live break the policy of their service, and the newest of them. */
export async function countViolations(
  manager: EntityManager,
  search: Search,
): Promise<PatchedService['violations']> {
  const broken = brokenRules(search);
  if (broken === null) return { count: 0, keyIds: [] };
  const [found] = await manager.query<[PatchedService['violations']]>(
    `WITH broken AS MATERIALIZED (SELECT k.id, k.seq ${broken.from})
     SELECT (SELECT count(*)::integer FROM broken) AS count,
       ARRAY(SELECT id FROM broken ORDER BY seq DESC LIMIT ${MAX_VIOLATIONS_NAMED}) AS "keyIds"`,
    broken.parameters,
  );
  return found;
}

/** Keys that live and break the policy of their service, the newest first, older than `place` unless it is null. */
export async function findViolations(
  manager: EntityManager,
  search: Search,
  { place, limit }: { place: string | null; limit: number },
): Promise<FoundViolation[]> {
  const broken = brokenRules(search);
  if (broken === null) return [];
  const { parameters } = broken;
  const rows = await manager.query<Row[]>(
    `SELECT k.id, k.seq, k.name, k.consumer, k.expires_at, k.rate_limits, k.ip_allowlist, g.scopes ${broken.from}
     AND ($${parameters.length + 1}::bigint IS NULL OR g.key_seq < $${parameters.length + 1})
     ORDER BY g.key_seq DESC LIMIT $${parameters.length + 2}`,
    [...parameters, place, limit],
  );
  return rows.map((row) => violationOf(row, search));
}

interface Row {
  id: string;
  seq: string;
  name: string;
  consumer: string;
  expires_at: Date | null;
  rate_limits: RateLimit[];
  ip_allowlist: string[];
  scopes: string[];
}

function violationOf(row: Row, { service, nowMs }: Search): FoundViolation {
  const settings = {
    grants: [{ service: service.slug, scopes: row.scopes }],
    expiresAtMs: row.expires_at?.getTime() ?? null,
    rateLimits: row.rate_limits,
    ipAllowlist: row.ip_allowlist,
  };
  const { id: keyId, seq, name, consumer } = row;
  const faults = keyFaults(settings, [service], nowMs);
  return { seq, violation: { keyId, name, consumer, faults } };
}

/**
 * The rest of a statement that selects from keys `k` and their grants `g` those that break the policy, as `keyFaults`
 * judges them; null where no key can.
 */
function brokenRules({
  service,
  by,
  nowMs,
}: Search): { from: string; parameters: unknown[] } | null {
  const parameters: unknown[] = [service.slug, new Date(nowMs)];
  const bind = (value: unknown) => `$${parameters.push(value)}`;
  const rules = rulesOf(service.policy, nowMs, bind);
  if (rules.length === 0) return null;
  const mine =
    by.services === null
      ? ''
      : `AND NOT EXISTS (SELECT FROM keys.key_grant o WHERE o.key_id = k.id AND o.service <> ALL(${bind(by.services)}))`;
  const from = `FROM keys.key_grant g JOIN keys.key k ON k.id = g.key_id
    WHERE g.service = $1 AND k.state <> 'revoked' AND (k.expires_at IS NULL OR k.expires_at > $2)
      AND (${rules.join(' OR ')}) ${mine}`;
  return { from, parameters };
}

function rulesOf(policy: Policy, nowMs: number, bind: (value: unknown) => string): string[] {
  const { maxLifetimeSeconds: longest, grantableScopes } = policy;
  const rules: string[] = [];
  if (policy.expiryRequired || longest !== null) rules.push('k.expires_at IS NULL');
  if (longest !== null) rules.push(`k.expires_at > ${bind(new Date(nowMs + longest * 1_000))}`);
  if (policy.ipAllowlistRequired)
    rules.push(`cardinality(k.ip_allowlist) = 0`, `'/0' = ANY(${RANGE_ENDS})`);
  if (policy.maxRateLimits.length > 0)
    rules.push(TOO_FAST.replace('$', () => bind(JSON.stringify(policy.maxRateLimits))));
  if (grantableScopes !== null)
    rules.push(
      `NOT g.scopes <@ ${bind(grantableScopes)}::text[] AND ${NOT_COVERED.replace('$', () => bind(grantableScopes))}`,
    );
  return rules;
}

const RANGE_ENDS = `ARRAY(SELECT right(range, 2) FROM unnest(k.ip_allowlist) AS range)`;

const TOO_FAST = `EXISTS (
  SELECT FROM jsonb_to_recordset($::jsonb) AS most (name text, "limit" bigint, "windowSeconds" bigint)
  WHERE NOT EXISTS (
    SELECT FROM jsonb_to_recordset(k.rate_limits) AS held (name text, "limit" bigint, "windowSeconds" bigint)
    WHERE held.name = most.name AND held."limit" * most."windowSeconds" <= most."limit" * held."windowSeconds"))`;

const NOT_COVERED = `EXISTS (
  SELECT FROM unnest(g.scopes) AS held (scope)
  WHERE NOT EXISTS (
    SELECT FROM unnest($::text[]) AS wide (scope)
    WHERE wide.scope = held.scope
      OR right(wide.scope, 2) = ':*' AND length(held.scope) >= length(wide.scope)
        AND starts_with(held.scope, left(wide.scope, -1))))`;
