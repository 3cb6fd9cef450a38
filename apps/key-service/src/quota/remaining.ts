import type { EntityManager } from 'typeorm';
import type { QuotaRecord } from '#key-core';
import type { RedisLink } from '../redis-link.js';
import { readLeases } from './lease.js';
import { readBalances } from './quota-balance.js';

/**
 * What the quotas of some keys have left, by key id: in PostgreSQL and, where `link` is given, in their leases. Without the
 * leases up to a hundredth of what is left counts as spent before it is.
 */
export async function remainingOf(
  manager: EntityManager,
  rows: readonly { id: string; quota: QuotaRecord | null }[],
  link: RedisLink | null,
): Promise<Map<string, number>> {
  const quotas = rows.flatMap(({ id, quota }) => (quota === null ? [] : [{ keyId: id, quota }]));
  if (quotas.length === 0) return new Map();
  const balances = await readBalances((sql, values) => manager.query(sql, values), quotas);
  const leases = await readLeases(link, quotas);
  return new Map(
    quotas.map(({ keyId }, i) => [keyId, balances[i]!.remaining + leases[i]!] as const),
  );
}
