import type { Pool, PoolClient } from 'pg';
import type { ExportedKey } from '#contracts';
import type { ReadExport } from '#key-core';
import { inTransaction } from './local-database.js';
import type { LocalPeppers } from './local-peppers.js';
import { LostQuotas, withQuota } from './lost-quotas.js';

/** What was taken over. */
export interface TakenOver {
  keys: number;
  /** Keys of which neither the export nor this service has a digest: their holders need new ones. */
  unknown: string[];
  /** Keys that had been handed over and have ended at the key service since: they are revoked here. */
  ended: number;
  /** Keys that had a quota at the key service and have none here. */
  withoutQuota: string[];
}

/**
 * Takes a service's keys over from an export, all or none. A key that is here already becomes as the export says, but for
 * one that was revoked here, which stays so; the secrets of a key stay as they are here where the export lacks the digest of one.
 *
 * @param mayLoseQuotas whether keys that have a quota are taken over all the same
 * @throws LostQuotas where there are such and it was not said
 */
export async function takeOver(
  { pool, peppers }: { pool: Pool; peppers: LocalPeppers },
  { keys, pepper }: ReadExport,
  mayLoseQuotas = false,
): Promise<TakenOver> {
  const withoutQuota = withQuota(keys);
  if (withoutQuota.length > 0 && !mayLoseQuotas) throw new LostQuotas(withoutQuota);
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ version: number }>(
      'INSERT INTO service_a.pepper (sealed) VALUES ($1) RETURNING version',
      [peppers.seal(pepper)],
    );
    const version = rows[0]!.version;
    const unknown: string[] = [];
    for (const key of keys) {
      await client.query(UPSERT, valuesOf(key));
      const isKnown = await putSecrets(client, key, version);
      if (!isKnown) unknown.push(key.id);
    }
    const kept = keys.filter((one) => !hasAllDigests(one)).map((one) => one.id);
    const ids = keys.map((one) => one.id);
    const { rowCount } = await client.query(END_OTHERS, [ids]);
    await client.query(TOLD, [ids, kept]);
    await client.query(NOTE, [ids]);
    return { keys: keys.length, unknown, ended: rowCount ?? 0, withoutQuota };
  });
}

/** @returns whether the key can be known by its text afterwards */
async function putSecrets(
  client: PoolClient,
  { id, secrets }: ExportedKey,
  version: number,
): Promise<boolean> {
  // numbers tell nothing where a secret was handed over and never used there: what is here is what is known
  const isKnownThere = hasAllDigests({ secrets });
  if (isKnownThere)
    await client.query('DELETE FROM service_a.secret WHERE key_id = $1 AND number <> ALL ($2)', [
      id,
      secrets.map((one) => one.number),
    ]);
  for (const one of isKnownThere ? secrets : []) {
    const values = [id, one.number, one.createdAt, one.validUntil];
    // superseded first: only one secret may be without an end
    await client.query(
      'UPDATE service_a.secret SET created_at = $3, valid_until = $4 WHERE key_id = $1 AND number = $2',
      values,
    );
    const digest = Buffer.from(one.digest!, 'base64url');
    await client.query(PUT_SECRET, [...values, digest, version, one.prefix, one.last4]);
  }
  const { rows } = await client.query('SELECT FROM service_a.secret WHERE key_id = $1', [id]);
  return rows.length > 0;
}

function hasAllDigests({ secrets }: Pick<ExportedKey, 'secrets'>): boolean {
  return secrets.every((one) => one.digest !== null);
}

function valuesOf(key: ExportedKey): unknown[] {
  return [
    ...[key.id, key.name, key.consumer, key.environment, key.scopes],
    ...[key.enabled ? 'active' : 'disabled', key.notBefore, key.expiresAt],
    ...[JSON.stringify(key.rateLimits), key.ipAllowlist, key.tags, JSON.stringify(key.metadata)],
    key.createdAt,
  ];
}

const UPSERT = `
  INSERT INTO service_a.key (id, name, consumer, environment, scopes, state, not_before, expires_at, rate_limits, ip_allowlist,
    tags, metadata, origin, version, created_at, created_by, updated_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'imported', 1, $13, 'take-over', now())
  ON CONFLICT (id) DO UPDATE SET name = excluded.name, consumer = excluded.consumer, scopes = excluded.scopes,
    state = CASE key.state WHEN 'revoked' THEN key.state ELSE excluded.state END, not_before = excluded.not_before,
    expires_at = excluded.expires_at, rate_limits = excluded.rate_limits, ip_allowlist = excluded.ip_allowlist,
    tags = excluded.tags, metadata = excluded.metadata, version = key.version + 1, updated_at = now()`;

const PUT_SECRET = `
  INSERT INTO service_a.secret (key_id, number, created_at, valid_until, digest, pepper_version, prefix, last4)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
  ON CONFLICT (key_id, number) DO UPDATE SET digest = excluded.digest, pepper_version = excluded.pepper_version,
    prefix = excluded.prefix, last4 = excluded.last4`;

/** The key service knows of these ends: it is not to be told. */
const END_OTHERS = `
  WITH ended AS (
    UPDATE service_a.key k SET state = 'revoked', revoked_at = now(), revocation_reason = 'ended_elsewhere',
      version = version + 1, updated_at = now()
    WHERE k.state <> 'revoked' AND k.id <> ALL ($1) AND EXISTS (SELECT FROM service_a.handed_over h WHERE h.key_id = k.id)
    RETURNING k.id, k.version
  )
  UPDATE service_a.handed_over h SET version = ended.version FROM ended WHERE h.key_id = ended.id`;

/**
 * Both sides have the same now, but for what was changed here and not told: a revocation, and ($2) secrets that stay as they are here.
 */
const TOLD = `
  WITH now_here AS (
    SELECT k.id, k.version, coalesce(max(s.number), 0) AS secret, k.state = 'revoked' OR k.id = ANY ($2) AS stays
    FROM service_a.key k LEFT JOIN service_a.secret s ON s.key_id = k.id AND s.valid_until IS NULL
    WHERE k.id = ANY ($1) GROUP BY k.id
  )
  INSERT INTO service_a.handed_over (key_id, version, secret)
  SELECT n.id, CASE WHEN n.stays AND h.version <> n.version - 1 THEN h.version ELSE n.version END,
    CASE WHEN n.stays THEN coalesce(h.secret, n.secret) ELSE n.secret END
  FROM now_here n LEFT JOIN service_a.handed_over h ON h.key_id = n.id
  ON CONFLICT (key_id) DO UPDATE SET version = excluded.version, secret = excluded.secret, at = clock_timestamp()`;

const NOTE = `
  INSERT INTO service_a.event (actor, action, key_id, detail)
  SELECT 'take-over', 'key.taken_over', id, '{}' FROM unnest($1::text[]) AS id`;
