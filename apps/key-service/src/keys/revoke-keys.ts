import { ConflictException } from '@nestjs/common';
import { MAX_REVOKED_NAMED, type RevokedKeys, type RevokeKeysBody } from '#contracts';
import { invalidField } from '#server';
import { maySee } from '../access/principal.js';
import type { NewChange } from '../changes/change-log.js';
import type { Mutation } from '../changes/mutations.js';
import { keyChange } from './key-change.js';
import type { Work } from './work.js';

/** Most keys that one call revokes: what one transaction does well within the statement timeout. */
export const MAX_REVOKED_AT_ONCE = 20_000;

/** Keys of one statement: few enough for the time that a statement may take, on a busy machine too. */
const PART = 5_000;

/** What is answered, but for how far it has reached. */
export type BulkResult = Omit<RevokedKeys, 'propagation'>;

/**
 * Revokes every key that fits a filter and is the principal's to touch, all of them or, where anything fails, none. Those
 * that are revoked already are left as they are. A dry run only says which would be.
 *
 * @throws ConflictException where there are more than {@link MAX_REVOKED_AT_ONCE}; ProblemException INVALID_REQUEST where none
 * fits because the filter names what does not exist, or is not the principal's to see
 */
export async function revokeKeys(work: Work, body: RevokeKeysBody): Promise<Mutation<BulkResult>> {
  const found = await findMatching(work, body);
  if (found.length > MAX_REVOKED_AT_ONCE) {
    const narrow = 'narrow the filter, by createdBefore for instance';
    throw conflict(`More than ${MAX_REVOKED_AT_ONCE} keys fit; ${narrow}`);
  }
  if (found.length === 0) await refuseUnknown(work, body.filter);
  const result = {
    matched: found.length,
    revoked: body.dryRun ? 0 : found.length,
    keyIds: found.slice(0, MAX_REVOKED_NAMED).map((one) => one.id),
  };
  if (body.dryRun) return { result, changes: [], touched: [] };
  if (found.length === 0) return { result, changes: [], touched: [], mayRepeat: true };
  const rows = await revokeFound(
    work,
    found.map((one) => one.id),
    body.reason,
  );
  if (!rows.every((row) => maySee(work.by, row.services))) throw conflict(CHANGED);
  return {
    result,
    changes: rows.map((row) => changeOf(work, row, body)),
    touched: rows.map(({ id, version }) => ({ keyId: id, version })),
    mayRepeat: true,
  };
}

type Filter = RevokeKeysBody['filter'];

/** What each member of a filter demands of a key `k`; `value` is the place of its value. */
const CONDITIONS = {
  consumer: (value) => `k.consumer = ${value}`,
  service: (value) => `k.id IN (SELECT key_id FROM keys.key_grant WHERE service = ${value})`,
  tag: (value) => `k.seq IN (SELECT t.key_seq FROM keys.key_tag t WHERE t.tag = ${value})`,
  createdBefore: (value) => `k.created_at < ${value}::timestamptz`,
  import: (value) => `k.id IN (SELECT key_id FROM keys.imported_key WHERE import_id = ${value})`,
  weak: (value) => `k.id IN (SELECT key_id FROM keys.imported_key WHERE weak = ${value})`,
} as const satisfies Record<keyof Filter, (value: string) => string>;

/** Oldest first; locked in that order unless it is a dry run, as everything that locks several keys does. */
function findMatching({ manager, by }: Work, body: RevokeKeysBody): Promise<{ id: string }[]> {
  const parameters: unknown[] = [];
  const bind = (value: unknown) => `$${parameters.push(value)}`;
  const conditions = [`k.state <> 'revoked'`];
  for (const [name, condition] of Object.entries(CONDITIONS)) {
    const value = body.filter[name as keyof typeof CONDITIONS];
    if (value !== undefined) conditions.push(condition(bind(value)));
  }
  if (by.services !== null)
    conditions.push(`NOT EXISTS (SELECT FROM keys.key_grant o
      WHERE o.key_id = k.id AND o.service <> ALL(${bind(by.services)}))`);
  return manager.query<{ id: string }[]>(
    `SELECT k.id FROM keys.key k WHERE ${conditions.join(' AND ')}
     ORDER BY k.seq LIMIT ${MAX_REVOKED_AT_ONCE + 1} ${body.dryRun ? '' : 'FOR UPDATE'}`,
    parameters,
  );
}

/** A slip of the pen must not look like a key that nobody can use any more. */
async function refuseUnknown({ manager, by }: Work, filter: Filter): Promise<void> {
  const values = [filter.consumer, filter.service, filter.import, by.services];
  const [are] = await manager.query<Record<'consumer' | 'service' | 'import', boolean>[]>(
    `SELECT $1::text IS NULL OR EXISTS (SELECT FROM keys.consumer WHERE slug = $1) AS consumer,
       $2::text IS NULL OR EXISTS (SELECT FROM keys.service
         WHERE slug = $2 AND ($4::text[] IS NULL OR slug = ANY($4))) AS service,
       $3::text IS NULL OR EXISTS (SELECT FROM keys.import
         WHERE id = $3 AND ($4::text[] IS NULL OR service = ANY($4))) AS import`,
    values.map((value) => value ?? null),
  );
  for (const name of ['consumer', 'service', 'import'] as const)
    if (!are![name]) throw invalidField(`/filter/${name}`, `There is no ${name} ${filter[name]}`);
}

async function revokeFound(
  { manager, material }: Work,
  ids: string[],
  reason: string,
): Promise<Revoked[]> {
  const at = new Date(material.now());
  const rows: Revoked[] = [];
  for (let start = 0; start < ids.length; start += PART) {
    const values = [ids.slice(start, start + PART), at, reason];
    rows.push(...(await manager.query<Revoked[]>(REVOKE, values)));
  }
  return rows;
}

const CHANGED = 'A key was granted for another service at the same time; try again';

interface Revoked {
  id: string;
  version: number;
  state: string;
  services: string[];
}

const REVOKE = `
  WITH was AS (SELECT id, state FROM keys.key WHERE id = ANY($1)),
  revoked AS (
    UPDATE keys.key k SET state = 'revoked', revoked_at = $2, revocation_reason = $3, updated_at = $2,
      version = k.version + 1
    FROM was WHERE k.id = was.id RETURNING k.id, k.version, k.seq, was.state
  )
  SELECT r.id, r.version, r.state,
    ARRAY(SELECT service FROM keys.key_grant WHERE key_id = r.id ORDER BY service) AS services
  FROM revoked r ORDER BY r.seq`;

function changeOf(
  work: Work,
  { id, version, state, services }: Revoked,
  body: RevokeKeysBody,
): NewChange {
  const { reason, comment = null } = body;
  return keyChange(work, 'key.revoked', {
    key: { keyId: id, version },
    services,
    before: { state },
    after: { state: 'revoked', reason, comment },
  });
}

function conflict(detail: string): ConflictException {
  return new ConflictException(detail, { errorCode: 'CONFLICT' });
}
