import type { EntityManager } from 'typeorm';
import {
  MAX_VIOLATIONS_NAMED,
  type PatchedService,
  type RateLimit,
  type Violation,
} from '#contracts';
import { keyFaults } from '#key-core';
import { brokenRules, type BrokenRules, type Search } from './broken-rules.js';

/** How many keys break a policy, and the newest of them. */
export type Violations = NonNullable<PatchedService['violations']>;

/** A key that breaks the policy, and its place in the order of creation. */
export interface FoundViolation {
  seq: string;
  violation: Violation;
}

/** How many keys that live break the policy of their service, and the newest of them. Goes through them part by part. */
export async function countViolations(manager: EntityManager, search: Search): Promise<Violations> {
  const violations: Violations = { count: 0, keyIds: [] };
  const broken = brokenRules(search);
  if (broken === null) return violations;
  for (let place: string | null = LAST_PLACE; place !== null;) {
    const [part]: [Part] = await manager.query(countIn(broken), [...broken.parameters, place]);
    violations.count += part.count;
    violations.keyIds.push(...part.keyIds);
    ({ place } = part);
  }
  return { ...violations, keyIds: violations.keyIds.slice(0, MAX_VIOLATIONS_NAMED) };
}

/** Keys that live and break the policy of their service, the newest first, older than `place` unless it is null. */
export async function findViolations(
  manager: EntityManager,
  search: Search,
  { place, limit }: { place: string | null; limit: number },
): Promise<FoundViolation[]> {
  const broken = brokenRules(search);
  if (broken === null) return [];
  const { conditions, parameters } = broken;
  const rows = await manager.query<Row[]>(
    `SELECT k.id, k.seq, k.name, k.consumer, k.expires_at, k.rate_limits, k.ip_allowlist, g.scopes
     FROM keys.key_grant g JOIN keys.key k ON k.id = g.key_id
     WHERE g.service = $1 AND g.key_seq < $${parameters.length + 1} AND ${conditions}
     ORDER BY g.key_seq DESC LIMIT $${parameters.length + 2}`,
    [...parameters, place ?? LAST_PLACE, limit],
  );
  return rows.map((row) => violationOf(row, search));
}

/** Beyond every key's `seq`. */
const LAST_PLACE = '9223372036854775807';
/** Keys of one statement: few enough for the time that a statement may take, on a busy machine too. */
const PART = 50_000;

interface Part {
  count: number;
  keyIds: string[];
  /** Place of the last key that was looked at; null where there was none. */
  place: string | null;
}

function countIn({ conditions, parameters }: BrokenRules): string {
  return `
    WITH g AS MATERIALIZED (
      SELECT key_id, key_seq, scopes FROM keys.key_grant WHERE service = $1 AND key_seq < $${parameters.length + 1}
      ORDER BY key_seq DESC LIMIT ${PART}
    ), broken AS MATERIALIZED (
      SELECT k.id, k.seq FROM g JOIN keys.key k ON k.id = g.key_id WHERE ${conditions}
    )
    SELECT (SELECT count(*)::integer FROM broken) AS count, (SELECT min(key_seq) FROM g) AS place,
      ARRAY(SELECT id FROM broken ORDER BY seq DESC LIMIT ${MAX_VIOLATIONS_NAMED}) AS "keyIds"`;
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
