import type { Pool } from 'pg';
import type { ExportedKey } from '#contracts';
import { portableDigest, type Peppers } from '#key-core';
import { openPortable } from '../keys/portable.js';

const PAGE = 500;

/** What lines are made with. */
export interface ExportParts {
  pool: Pool;
  peppers: Peppers;
  service: string;
  /** Key of the digests in this export. */
  pepper: Buffer;
}

/** The keys of a service that are neither revoked nor expired, in the order of their making. */
export async function* exportedKeys(parts: ExportParts): AsyncGenerator<ExportedKey> {
  let after = '0';
  for (;;) {
    const { rows } = await parts.pool.query<Row>({
      name: 'export',
      text: SELECT,
      values: [parts.service, after, PAGE],
    });
    for (const row of rows) yield lineOf(row, parts);
    if (rows.length < PAGE) return;
    after = rows.at(-1)!.seq;
  }
}

interface Row extends Omit<ExportedKey, 'type' | 'secrets' | 'quota'> {
  seq: string;
  /** The highest number that a secret had at the source of the key; 0 where none was told. */
  source: number;
  quota: (NonNullable<ExportedKey['quota']> & { setting: number }) | null;
  secrets: {
    number: number;
    pepper: number;
    portable: string | null;
    prefix: string;
    last4: string;
    createdAt: string;
    validUntil: string | null;
  }[];
}

const iso = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const SELECT = `
  SELECT k.seq, k.id, k.name, k.consumer, k.environment, g.scopes, k.state = 'active' AND c.enabled AS enabled,
    ${iso('k.not_before')} AS "notBefore", ${iso('k.expires_at')} AS "expiresAt", k.rate_limits AS "rateLimits",
    k.quota, coalesce(k.source_number, 0) AS source, k.ip_allowlist AS "ipAllowlist", k.tags, k.metadata, ${iso('k.created_at')} AS "createdAt",
    (SELECT json_agg(json_build_object('number', s.number, 'pepper', s.pepper_version,
        'portable', encode(s.portable, 'base64'), 'prefix', s.prefix, 'last4', s.last4,
        'createdAt', ${iso('s.created_at')}, 'validUntil', ${iso('s.valid_until')}) ORDER BY s.number)
      FROM keys.secret s WHERE s.key_id = k.id AND NOT s.ended AND (s.valid_until IS NULL OR s.valid_until > now())) AS secrets
  FROM keys.key_grant g JOIN keys.key k ON k.id = g.key_id JOIN keys.consumer c ON c.slug = k.consumer
  WHERE g.service = $1 AND g.key_seq > $2 AND k.state <> 'revoked' AND (k.expires_at IS NULL OR k.expires_at > now())
  ORDER BY g.key_seq LIMIT $3`;

function lineOf(row: Row, { peppers, pepper }: ExportParts): ExportedKey {
  const { seq: _, source, quota, secrets, ...rest } = row;
  return {
    type: 'key',
    ...rest,
    quota: quota && { limit: quota.limit, ...(quota.refill && { refill: quota.refill }) },
    secrets: secrets.map(({ pepper: version, portable, ...secret }) => {
      const under = peppers.get(version);
      const place = { keyId: row.id, number: secret.number };
      const sealed = portable === null ? null : Buffer.from(portable, 'base64');
      const digest = sealed && under ? openPortable(under, sealed, place) : null;
      return {
        ...secret,
        // who goes on counting from here tells of later secrets than the source did
        number: source + secret.number,
        digest: digest && portableDigest(pepper, digest).toString('base64url'),
      };
    }),
  };
}
