import { ServiceUnavailableException } from '@nestjs/common';
import { maskSecrets } from '#contracts';
import { isOutage } from '#server';
import type { EntityManager } from 'typeorm';

/** Channel on which PostgreSQL tells of new rows; the payload is the last number. */
export const CHANGES_CHANNEL = 'keyward_changes';

/** A row of the change log that is yet to get its number. `before` and `after` hold no digest and no text of a key. */
export interface NewChange {
  /** Who did it: `sub` of a person's token. */
  actor: string;
  /** The service through which they did it, or null. */
  via: string | null;
  /** `key.revoked`, `consumer.disabled`, ... */
  action: string;
  targetType: 'key' | 'service' | 'consumer' | 'import';
  targetId: string;
  /** Version of the key from now on; null where the target is no key. */
  keyVersion: number | null;
  /** Services whose verifications may see a difference. */
  services: string[];
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  requestId: string | null;
  ip: string | null;
}

/**
 * Adds rows to the change log. Must be the last statement of its transaction: it locks the head row until the commit, which
 * is what keeps the numbers gapless and in commit order. Listeners are told on commit. Whatever looks like a key or token
 * is masked.
 *
 * @returns number of the last row
 * @throws ServiceUnavailableException where the rows cannot be written; the transaction must not be committed then
 */
export async function appendChanges(manager: EntityManager, changes: NewChange[]): Promise<bigint> {
  try {
    const rows = await manager.query<{ seq: string }[]>(APPEND, [
      changes.length,
      maskSecrets(JSON.stringify(changes.map(toRow))),
    ]);
    return BigInt(rows[0]!.seq);
  } catch (cause) {
    if (isOutage(cause) || isRetriable(cause)) throw cause;
    const detail = 'The change log cannot be written at present, so nothing was changed';
    throw new ServiceUnavailableException(detail, { errorCode: 'SERVICE_UNAVAILABLE', cause });
  }
}

/** Whether PostgreSQL gave up a transaction that may be run again: serialization failure or deadlock. */
export function isRetriable(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === '40001' || code === '40P01';
}

/** One statement, so that the head row is locked for one round trip and the commit only. */
const APPEND = `
  WITH head AS (UPDATE keys.change_head SET seq = seq + $1 RETURNING seq),
  added AS (
    INSERT INTO keys.change_log
      (seq, actor, via, action, target_type, target_id, key_version, services, before, after, request_id, ip)
    SELECT head.seq - $1 + one.place, one.actor, one.via, one.action, one.target_type, one.target_id, one.key_version,
      one.services, one.before, one.after, one.request_id, one.ip
    FROM head, ROWS FROM (jsonb_to_recordset($2::jsonb) AS (
      actor text, via text, action text, target_type text, target_id text, key_version integer, services text[],
      before jsonb, after jsonb, request_id text, ip text)) WITH ORDINALITY AS one
      (actor, via, action, target_type, target_id, key_version, services, before, after, request_id, ip, place)
    RETURNING seq
  ), last AS (SELECT max(seq) AS seq FROM added)
  SELECT seq, pg_notify('${CHANGES_CHANNEL}', seq::text) FROM last`;

function toRow(change: NewChange): Record<string, unknown> {
  return {
    actor: change.actor,
    via: change.via,
    action: change.action,
    target_type: change.targetType,
    target_id: change.targetId,
    key_version: change.keyVersion,
    services: change.services,
    before: change.before,
    after: change.after,
    request_id: change.requestId,
    ip: change.ip,
  };
}
