import type { SelectQueryBuilder } from 'typeorm';
import type { KeyStatus, ListKeysQuery } from '#contracts';
import type { KeyEntity } from './key.entity.js';

/** What a list of keys is narrowed by. */
export type KeyFilters = Omit<ListKeysQuery, 'limit' | 'cursor'>;

/** Narrows a selection of keys to those that fit all filters at a time, but for the text they are searched by. */
export function filterKeys(
  select: SelectQueryBuilder<KeyEntity>,
  { status, ...filters }: Omit<KeyFilters, 'q'>,
  nowMs: number,
): void {
  for (const [name, condition] of Object.entries(CONDITIONS)) {
    const value = filters[name as keyof typeof CONDITIONS];
    if (value !== undefined) select.andWhere(condition, { [name]: value });
  }
  if (status !== undefined) select.andWhere(`(${BY_STATUS[status]})`, { now: new Date(nowMs) });
  // the same said so that the index on the end skips what has expired
  if (filters.expiresBefore !== undefined && (status === 'active' || status === 'disabled'))
    select.andWhere('key.expires_at > :now');
}

/** Since when a key was not used; indexed. */
export const LAST_USE = 'coalesce(key.last_used_at, key.created_at)';

const CONDITIONS = {
  service: 'EXISTS (SELECT FROM keys.key_grant g WHERE g.key_id = key.id AND g.service = :service)',
  consumer: 'key.consumer = :consumer',
  environment: 'key.environment = :environment',
  tag: 'key.seq IN (SELECT t.key_seq FROM keys.key_tag t WHERE t.tag = :tag)',
  expiresBefore: 'key.expires_at < :expiresBefore',
  unusedSince: `${LAST_USE} < :unusedSince`,
} as const satisfies Record<Exclude<keyof KeyFilters, 'status' | 'q'>, string>;

const IS_EXPIRED = 'coalesce(key.expires_at <= :now, false)';

/** As `statusOf` decides, and as the indexes say it that give the orders of lists. */
const BY_STATUS = {
  revoked: `key.state = 'revoked'`,
  expired: `key.state <> 'revoked' AND key.expires_at <= :now`,
  disabled: `key.state <> 'revoked' AND (key.state = 'disabled' OR key.consumer_off) AND NOT ${IS_EXPIRED}`,
  active: `key.state = 'active' AND NOT key.consumer_off AND NOT ${IS_EXPIRED}`,
} as const satisfies Record<KeyStatus, string>;
