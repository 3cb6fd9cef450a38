import { createHash } from 'node:crypto';
import { ConflictException } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { CreateImportBody, ImportMode, KeyImport } from '#contracts';
import { randomId } from '#key-core';
import { canonicalJson } from '#server';
import { seal } from '../idempotency/seal.js';
import type { Work } from '../keys/work.js';
import { importSecretsOf, type ImportSecrets } from './import-secrets.js';
import { schemePlace } from './import-rules.js';
import { HAS_KEYS, presentMode } from './present-mode.js';

/** A row of `keys.import`. */
export interface ImportRow {
  id: string;
  service: string;
  source: string;
  mode: ImportMode;
  algorithm: string;
  scheme_digest: Buffer;
  pepper_version: number;
  version: number;
  created_at: Date;
  created_by: string;
  updated_at: Date;
}

/** An import that is being added to, and what its rows are sealed with. */
export interface OpenImport {
  row: ImportRow;
  secrets: ImportSecrets;
  isNew: boolean;
}

interface Scheme {
  scheme: CreateImportBody['scheme'];
  digest: Buffer;
  secrets: ImportSecrets;
}

interface Place extends Pick<ImportRow, 'id' | 'service'> {
  secrets: ImportSecrets;
  random: Work['material']['random'];
}

/**
 * The import of a service and source, made where there is none, its service locked against other imports until the end of the
 * transaction.
 *
 * @throws ConflictException where the source has keys by another scheme, or its pepper is missing, and where its keys would move the
 *   service back
 */
export async function openImport(work: Work, body: CreateImportBody): Promise<OpenImport> {
  const { manager, material } = work;
  const { service, source } = body;
  await lockImports(manager, service);
  const found = await findImport(manager, 'service = $1 AND source = $2', [service, source]);
  const digest = createHash('sha256').update(canonicalJson(body.scheme)).digest();
  if (found === null) return makeImport(work, body, digest);
  const isOther = !found.scheme_digest.equals(digest);
  if (isOther && (await hasKeys(manager, found.id)))
    throw conflict(`The source ${source} was begun with another scheme; use another source`);
  const pepper = material.peppers.get(found.pepper_version);
  if (pepper === undefined) throw conflict('The pepper that this source was begun with is missing');
  mayBegin(found.mode, await modeOfService(manager, service), `source ${source}`);
  const secrets = importSecretsOf(pepper);
  const row = isOther ? await takeScheme(work, found, { ...body, digest, secrets }) : found;
  return { row, secrets, isNew: false };
}

async function hasKeys(manager: EntityManager, id: string): Promise<boolean> {
  const text = `SELECT FROM keys.import i WHERE id = $1 AND ${HAS_KEYS}`;
  return (await manager.query<unknown[]>(text, [id])).length > 0;
}

/** Gives an import without keys another scheme: all its items have failed, perhaps by the one that it has. */
async function takeScheme(
  { manager, material }: Work,
  { id, service }: ImportRow,
  { scheme, digest, secrets }: Scheme,
): Promise<ImportRow> {
  const sealed = sealedScheme(scheme, { id, service, secrets, random: material.random });
  await manager.query(
    `UPDATE keys.import SET sealed_scheme = $2, scheme_digest = $3, algorithm = $4, updated_at = $5, version = version + 1 WHERE id = $1`,
    [id, sealed, digest, scheme.algorithm, new Date(material.now())],
  );
  return (await findImport(manager, 'id = $1', [id]))!;
}

/** Locks which side counts for a service, and its imports, against others until the end of the transaction. */
export async function lockImports(manager: EntityManager, service: string): Promise<void> {
  await manager.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 7259310))`, [service]);
}

/** One import, or null. */
export async function findImport(
  manager: EntityManager,
  condition: string,
  values: readonly unknown[],
): Promise<ImportRow | null> {
  const text = `SELECT * FROM keys.import WHERE ${condition} FOR UPDATE`;
  const [row] = await manager.query<ImportRow[]>(text, [...values]);
  return row ?? null;
}

/** Which imports are shown, and from where on. */
export interface ShownImports {
  id?: string | undefined;
  /** Null for those of all. */
  services: readonly string[] | null;
  /** Id of the last one before; null for the first. */
  after?: string | null;
  /** All of them by default. */
  limit?: number;
}

/** Imports as they are answered, the oldest first. */
export async function showImports(
  manager: EntityManager,
  { id, services, after, limit }: ShownImports,
): Promise<KeyImport[]> {
  const values = [id, services, after, limit].map((one) => one ?? null);
  const rows = await manager.query<(ImportRow & Counts)[]>(SHOW, values);
  return rows.map((row) => ({
    id: row.id,
    service: row.service,
    source: row.source,
    mode: row.mode,
    algorithm: row.algorithm,
    counts: { keys: row.keys, upgraded: row.upgraded, weak: row.weak, revoked: row.revoked },
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    updatedAt: row.updated_at.toISOString(),
    version: row.version,
  }));
}

interface Counts {
  keys: number;
  upgraded: number;
  weak: number;
  revoked: number;
}

/** Keys are counted of those alone that are shown. */
const SHOW = `
  SELECT i.*, c.* FROM (
    SELECT * FROM keys.import
    WHERE ($1::text IS NULL OR id = $1) AND ($2::text[] IS NULL OR service = ANY ($2))
      AND ($3::text IS NULL OR (created_at, id) > (SELECT created_at, id FROM keys.import WHERE id = $3))
    ORDER BY created_at, id LIMIT $4::bigint) i
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS keys, count(k.upgraded_at)::int AS upgraded,
      (count(*) FILTER (WHERE k.weak))::int AS weak, (count(*) FILTER (WHERE key.state = 'revoked'))::int AS revoked
    FROM keys.imported_key k JOIN keys.key ON key.id = k.key_id WHERE k.import_id = i.id) c
  ORDER BY i.created_at, i.id`;

async function makeImport(
  { manager, material, by }: Work,
  { service, source, mode: wanted, scheme }: CreateImportBody,
  digest: Buffer,
): Promise<OpenImport> {
  const present = await modeOfService(manager, service);
  const mode = wanted ?? present ?? 'shadow';
  mayBegin(mode, present, 'new import');
  const { version, bytes } = material.peppers.current;
  const secrets = importSecretsOf(bytes);
  const id = `imp_${randomId(material.random)}`;
  const at = new Date(material.now());
  const sealed = sealedScheme(scheme, { id, service, secrets, random: material.random });
  const [row] = await manager.query<ImportRow[]>(
    `INSERT INTO keys.import (id, service, source, mode, sealed_scheme, scheme_digest, algorithm, pepper_version,
       created_at, created_by, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9) RETURNING *`,
    [id, service, source, mode, sealed, digest, scheme.algorithm, version, at, by.actor],
  );
  return { row: row!, secrets, isNew: true };
}

function sealedScheme(
  scheme: CreateImportBody['scheme'],
  { id, service, secrets, random }: Place,
): Buffer {
  const place = schemePlace(id, service);
  return seal(JSON.stringify(scheme), { key: secrets.sealKey, place, random });
}

/** An import says which side counts for all of its service as soon as it has keys: to go back is a call of its own. */
function mayBegin(mode: ImportMode, present: ImportMode | null, what: string): void {
  if (present === null || presentMode([mode, present]) === present) return;
  throw conflict(
    `The service is in ${present}, and a ${what} in ${mode} would move it back; leave mode out, or move on or back with ` +
      'POST /v1/imports/move',
  );
}

async function modeOfService(manager: EntityManager, service: string): Promise<ImportMode | null> {
  const text = `SELECT mode FROM keys.import i WHERE service = $1 AND ${HAS_KEYS}`;
  const rows = await manager.query<{ mode: ImportMode }[]>(text, [service]);
  return presentMode(rows.map((one) => one.mode));
}

function conflict(detail: string): ConflictException {
  return new ConflictException(detail, { errorCode: 'CONFLICT' });
}
