import type { Pool, PoolClient } from 'pg';
import type { Environment, Key, RateLimit } from '#contracts';
import type { KeyRecord, KeyState } from '#key-core';
import { SERVICE } from '../provisioning/key-provisioner.js';

/** A key of this service with its secrets, the newest first. */
export interface LocalRow {
  seq: string;
  id: string;
  name: string;
  consumer: string;
  environment: Environment;
  scopes: string[];
  state: KeyState;
  not_before: Date | null;
  expires_at: Date | null;
  rate_limits: RateLimit[];
  ip_allowlist: string[];
  tags: string[];
  metadata: Record<string, unknown>;
  origin: 'issued' | 'imported';
  version: number;
  created_at: Date;
  created_by: string;
  updated_at: Date;
  revoked_at: Date | null;
  revocation_reason: string | null;
  secrets: LocalSecret[];
  standing: Standing;
}

/**
 * What the key service knows of a key: null where it never got it; `level` where it has it as it is here; `fresh` where it was told
 * so recently that not every replica there need know; `ahead` where the key was changed here since.
 */
export type Standing = 'level' | 'fresh' | 'ahead' | null;

/** A secret as JSON out of the database. */
export interface LocalSecret {
  number: number;
  digest: string;
  pepper_version: number;
  prefix: string;
  last4: string;
  created_ms: number;
  until_ms: number | null;
}

/** In seconds: longer than any replica of the key service goes without an import that another has taken. */
const FRESH = 3;

const STANDING = `(SELECT CASE WHEN h.version <> k.version THEN 'ahead'
      WHEN h.at > clock_timestamp() - interval '${FRESH} seconds' THEN 'fresh' ELSE 'level' END
    FROM service_a.handed_over h WHERE h.key_id = k.id) AS standing`;

/** Selects rows of the key `k`; conditions follow. */
export const ROWS = `SELECT k.*, ${STANDING}, (SELECT coalesce(json_agg(json_build_object('number', s.number, 'digest', encode(s.digest, 'base64'),
      'pepper_version', s.pepper_version, 'prefix', s.prefix, 'last4', s.last4,
      'created_ms', floor(extract(epoch FROM s.created_at) * 1000),
      'until_ms', floor(extract(epoch FROM s.valid_until) * 1000)) ORDER BY s.number DESC), '[]')
    FROM service_a.secret s WHERE s.key_id = k.id) AS secrets
  FROM service_a.key k`;

/** A key, or null. @throws where PostgreSQL does not answer */
export async function findRow(
  db: Pool | PoolClient,
  id: string,
  lock: '' | 'FOR UPDATE' = '',
): Promise<LocalRow | null> {
  const text = `${ROWS} WHERE k.id = $1 ${lock}`;
  const { rows } = await db.query<LocalRow>(text, [id]);
  return rows[0] ?? null;
}

/** The key that has one of these digests, or null. @throws where PostgreSQL does not answer */
export async function findRowByDigest(db: Pool, digests: Buffer[]): Promise<LocalRow | null> {
  const text = `${ROWS} WHERE k.id IN (SELECT key_id FROM service_a.secret WHERE digest = ANY ($1::bytea[])) LIMIT 1`;
  const { rows } = await db.query<LocalRow>(text, [digests]);
  return rows[0] ?? null;
}

/** The record that is decided on. */
export function recordOf(row: LocalRow): KeyRecord {
  return {
    keyId: row.id,
    version: row.version,
    consumer: row.consumer,
    consumerEnabled: true,
    environment: row.environment,
    state: row.state,
    notBeforeMs: row.not_before && row.not_before.getTime(),
    expiresAtMs: row.expires_at && row.expires_at.getTime(),
    grants: [{ service: SERVICE, scopes: row.scopes }],
    rateLimits: row.rate_limits,
    quota: null,
    ipAllowlist: row.ip_allowlist,
    metadata: row.metadata,
    importId: null,
    secrets: row.secrets.map((secret) => ({
      number: secret.number,
      digest: secret.digest,
      pepperVersion: secret.pepper_version,
      issuedAtMs: secret.created_ms,
      validUntilMs: secret.until_ms,
      isEnded: false,
    })),
  };
}

/** The key as it is answered. */
export function keyOf(row: LocalRow, nowMs: number): Key {
  const [current, previous] = row.secrets;
  return {
    id: row.id,
    name: row.name,
    consumer: row.consumer,
    environment: row.environment,
    grants: [{ service: SERVICE, scopes: row.scopes }],
    status: statusOf(row, nowMs),
    notBefore: isoOf(row.not_before),
    expiresAt: isoOf(row.expires_at),
    rateLimits: row.rate_limits,
    quota: null,
    ipAllowlist: row.ip_allowlist,
    tags: row.tags,
    metadata: row.metadata as Key['metadata'],
    // a key that was taken over without a digest has no secret here
    hint: { prefix: current?.prefix ?? '', last4: current?.last4 ?? '' },
    rotation: rotationOf(previous, nowMs),
    origin: row.origin,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    updatedAt: row.updated_at.toISOString(),
    lastUsedAt: null,
    revokedAt: isoOf(row.revoked_at),
    revocationReason: row.revocation_reason,
    version: row.version,
  };
}

/** Revoked comes before expired, expired before disabled. */
export function statusOf({ state, expires_at: end }: LocalRow, nowMs: number): Key['status'] {
  if (state === 'revoked') return 'revoked';
  return end !== null && end.getTime() <= nowMs ? 'expired' : state;
}

function rotationOf(previous: LocalSecret | undefined, nowMs: number): Key['rotation'] {
  if (previous === undefined || previous.until_ms === null) return null;
  const state = previous.until_ms <= nowMs ? 'finished' : 'overlapping';
  return { state, previousValidUntil: new Date(previous.until_ms).toISOString() };
}

function isoOf(date: Date | null): string | null {
  return date === null ? null : date.toISOString();
}
