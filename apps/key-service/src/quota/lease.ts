import { createHash } from 'node:crypto';
import type { QuotaRecord } from '#key-core';
import type { RedisLink } from '../redis-link.js';
import type { KeyQuota } from './quota-balance.js';

/** A lease that is not topped up this long lapses, where no refill ends it earlier. */
export const LEASE_TTL_MS = 30 * 86_400_000;

/**
 * Name of the lease of a quota: units that were taken from PostgreSQL and not yet spent, which all replicas share. It carries
 * the setting of the quota and the run ids of the Redis that holds it: after a restart with an old dump, or on another server,
 * nobody finds it again, so what it held is lost but never spent twice.
 */
export function leaseName(
  keyId: string,
  { setting }: QuotaRecord,
  runs: readonly string[],
): string {
  return `kw:{${keyId}}:quota:${setting}:${shortOf(runs)}`;
}

/** Units in the leases of some keys, in their order; 0 where there is none, or Redis is away. */
export async function readLeases(
  link: RedisLink | null,
  quotas: readonly KeyQuota[],
): Promise<number[]> {
  return Promise.all(
    quotas.map(async ({ keyId, quota }) => {
      if (!link?.runs) return 0;
      const held = await link.get(leaseName(keyId, quota, link.runs));
      return Number(/^\d+/.exec(held?.answer ?? '')?.[0] ?? 0);
    }),
  );
}

let last: { runs: readonly string[]; short: string } | null = null;

function shortOf(runs: readonly string[]): string {
  if (last?.runs !== runs) {
    const short = createHash('sha256').update(runs.join()).digest('base64url').slice(0, 12);
    last = { runs, short };
  }
  return last.short;
}
