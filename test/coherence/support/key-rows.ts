import type { Grant, RateLimit } from '#contracts';
import type { KeyState, QuotaRecord } from '#key-core';
import type { Cluster } from './cluster.js';
import type { Stores } from './stores.js';

/** A secret as PostgreSQL has it; times in milliseconds since 1970. */
export interface SecretRow {
  number: number;
  digest: string;
  /** Null for the current one. */
  validUntilMs: number | null;
  isEnded: boolean;
}

/** A key as PostgreSQL has it, with all its secrets. */
export interface KeyRow {
  id: string;
  version: number;
  state: KeyState;
  consumer: string;
  consumerEnabled: boolean;
  notBeforeMs: number | null;
  expiresAtMs: number | null;
  rateLimits: RateLimit[];
  quota: QuotaRecord | null;
  ipAllowlist: string[];
  grants: Grant[];
  secrets: SecretRow[];
}

/** All keys, table by table: by another way than the key service reads them, which could be wrong. */
export async function readRows({ sql }: Cluster<Stores>): Promise<KeyRow[]> {
  const ms = (column: string) => `floor(extract(epoch FROM ${column}) * 1000)::float8`;
  const keys = await sql<Omit<KeyRow, 'consumerEnabled' | 'grants' | 'secrets'>>(
    `SELECT id, version, state, consumer, ${ms('not_before')} AS "notBeforeMs", ${ms('expires_at')} AS "expiresAtMs",
       rate_limits AS "rateLimits", quota, ip_allowlist AS "ipAllowlist" FROM keys.key`,
  );
  const consumers = await sql<{ slug: string; enabled: boolean }>(
    'SELECT slug, enabled FROM keys.consumer',
  );
  const grants = await sql<Grant & { keyId: string }>(
    'SELECT key_id AS "keyId", service, scopes FROM keys.key_grant',
  );
  const secrets = await sql<SecretRow & { keyId: string }>(
    `SELECT key_id AS "keyId", number, encode(digest, 'base64') AS digest, ${ms('valid_until')} AS "validUntilMs",
       ended AS "isEnded" FROM keys.secret ORDER BY key_id, number`,
  );
  const enabled = new Map(consumers.map(({ slug, enabled }) => [slug, enabled]));
  const grantsOf = byKey(grants);
  const secretsOf = byKey(secrets);
  return keys.map((key) => ({
    ...key,
    consumerEnabled: enabled.get(key.consumer) === true,
    grants: grantsOf.get(key.id) ?? [],
    secrets: secretsOf.get(key.id) ?? [],
  }));
}

function byKey<T>(rows: (T & { keyId: string })[]): Map<string, T[]> {
  const found = new Map<string, T[]>();
  for (const { keyId, ...row } of rows) found.set(keyId, [...(found.get(keyId) ?? []), row as T]);
  return found;
}
