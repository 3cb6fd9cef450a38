import type { ServiceEntity } from '../catalog/service.entity.js';
import { repeatedParts } from '../keys/repeated-parts.js';
import { quotaSetBy } from '../keys/key-change.js';
import { KeyEntity, type KeyRow } from '../keys/key.entity.js';
import { KeyGrantEntity } from '../keys/key-grant.entity.js';
import { SecretEntity } from '../keys/secret.entity.js';
import type { Work } from '../keys/work.js';
import type { ReadItem } from './import-item.js';
import { rateLimitsOf } from './import-policy.js';
import { sealHash } from './import-secrets.js';
import type { OpenImport } from './import-store.js';

/** An item that becomes a key. */
export interface NewKey extends ReadItem {
  keyId: string;
  lookup: Buffer;
  isSalted: boolean;
  /** Keyed digest of the item as it was sent. */
  request: Buffer;
}

/** Stands where a digest is not made yet: HMAC-SHA-256 gives it for no text. */
export const NO_DIGEST = Buffer.alloc(32);
const PART = 250;

/** Writes the rows of new keys. */
export async function insertKeys(
  work: Work,
  { open, service, keys }: { open: OpenImport; service: ServiceEntity; keys: readonly NewKey[] },
): Promise<void> {
  const { manager } = work;
  for (let start = 0; start < keys.length; start += PART) {
    const part = keys.slice(start, start + PART);
    await manager.insert(KeyEntity, part.map((key) => keyRow(work, key, service)) as object[]);
    await manager.insert(
      KeyGrantEntity,
      part.map(({ keyId, given: { scopes } }) => ({ keyId, service: service.slug, scopes })),
    );
    await manager.insert(
      SecretEntity,
      part.map((key) => secretRow(work, key)),
    );
    await manager.query(INSERT_ORIGINS, [
      open.row.id,
      part.map((one) => one.given.item),
      part.map((one) => one.keyId),
      part.map((one) => one.request),
      part.map((one) => one.isWeak),
    ]);
    await insertHashes(
      work,
      open,
      part.map((one) => ({ ...one, number: 1 })),
    );
  }
}

/** Writes the hashes of secrets whose rows are there. */
export async function insertHashes(
  work: Work,
  open: OpenImport,
  secrets: readonly (NewKey & { number: number })[],
): Promise<void> {
  await work.manager.query(INSERT_HASHES, [
    open.row.id,
    secrets.map((one) => one.number),
    secrets.map((one) => one.keyId),
    secrets.map((one) => one.lookup),
    secrets.map((one) => one.isSalted),
    secrets.map((one) => sealed(work, open, one)),
  ]);
}

const INSERT_ORIGINS = `
  INSERT INTO keys.imported_key (import_id, item, key_id, request, weak)
  SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bytea[], $5::boolean[])`;

const INSERT_HASHES = `
  INSERT INTO keys.legacy_secret (import_id, number, key_id, lookup, salted, sealed)
  SELECT $1, * FROM unnest($2::integer[], $3::text[], $4::bytea[], $5::boolean[], $6::bytea[])`;

function sealed(
  work: Work,
  { row, secrets }: OpenImport,
  { keyId, lookup, given }: NewKey,
): Buffer {
  const place = { importId: row.id, keyId, lookup };
  return sealHash(secrets, given.hash, { place, random: work.material.random });
}

function keyRow({ by, material }: Work, { keyId, given }: NewKey, service: ServiceEntity): KeyRow {
  const at = new Date(material.now());
  const { consumer, environment, ipAllowlist, tags, metadata, notBefore, expiresAt } = given;
  return {
    id: keyId,
    name: given.name ?? given.item,
    ...{ consumer, environment, ipAllowlist, tags, metadata },
    ...repeatedParts([{ service: service.slug, scopes: given.scopes }], hintOf(given)),
    state: given.enabled ? 'active' : 'disabled',
    notBefore: notBefore === undefined ? null : new Date(notBefore),
    expiresAt: expiresAt === null ? null : new Date(expiresAt),
    rateLimits: rateLimitsOf(given, service),
    quota: quotaSetBy(given.quota, 1),
    origin: 'imported',
    version: 1,
    createdAt: at,
    createdBy: by.actor,
    updatedAt: at,
    lastUsedAt: null,
    revokedAt: null,
    revocationReason: null,
  };
}

function secretRow({ material }: Work, { keyId, given }: NewKey) {
  return {
    ...{ keyId, number: 1, digest: NO_DIGEST, pepperVersion: 0, portable: null },
    ...{ ...hintOf(given), createdAt: new Date(material.now()), validUntil: null, ended: false },
  };
}

/** What people tell the secret apart by; empty where the source did not say. */
export function hintOf({ hint }: NewKey['given']) {
  return { prefix: hint?.prefix ?? '', last4: hint?.last4 ?? '' };
}
