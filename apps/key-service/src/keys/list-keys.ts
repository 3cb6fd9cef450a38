import type { SelectQueryBuilder } from 'typeorm';
import type { ListKeysQuery } from '#contracts';
import { pageOf, placeOf } from '../access/cursor.js';
import { onlyVisible } from './find-key.js';
import { KeyEntity } from './key.entity.js';
import { showKeys } from './show-key.js';
import type { Work } from './work.js';

/** Keys that the principal may see and that fit all filters, the newest first. */
export async function listKeys(
  { manager, by, material }: Work,
  { limit, cursor, ...filters }: ListKeysQuery,
) {
  const scope = { key: material.cursorKey, list: 'keys', filters, by };
  const place = placeOf(scope, cursor);
  const nowMs = material.now();
  const select = onlyVisible(manager.createQueryBuilder(KeyEntity, 'key'), by);
  if (place !== null) select.andWhere('key.seq < :place', { place });
  filter(select, filters, nowMs);
  const rows = await select
    .orderBy('key.seq', 'DESC')
    .limit(limit + 1)
    .getMany();
  return pageOf(scope, rows, {
    limit,
    placeOfRow: (row) => row.seq,
    show: (shown) => showKeys(manager, shown, nowMs),
  });
}

type Filters = Omit<ListKeysQuery, 'limit' | 'cursor'>;

const HAS_GRANT =
  'EXISTS (SELECT FROM keys.key_grant g WHERE g.key_id = key.id AND g.service = :service)';
const IS_EXPIRED = 'coalesce(key.expires_at <= :now, false)';
const IS_CONSUMER_ENABLED = '(SELECT c.enabled FROM keys.consumer c WHERE c.slug = key.consumer)';

/** As `statusOf` decides. */
const BY_STATUS = {
  revoked: `key.state = 'revoked'`,
  expired: `key.state <> 'revoked' AND ${IS_EXPIRED}`,
  disabled: `key.state <> 'revoked' AND NOT ${IS_EXPIRED} AND (key.state = 'disabled' OR NOT ${IS_CONSUMER_ENABLED})`,
  active: `key.state = 'active' AND NOT ${IS_EXPIRED} AND ${IS_CONSUMER_ENABLED}`,
} as const;

function filter(select: SelectQueryBuilder<KeyEntity>, filters: Filters, nowMs: number): void {
  const { service, consumer, environment, tag, status } = filters;
  if (service !== undefined) select.andWhere(HAS_GRANT, { service });
  if (consumer !== undefined) select.andWhere('key.consumer = :consumer', { consumer });
  if (environment !== undefined) select.andWhere('key.environment = :environment', { environment });
  if (tag !== undefined) select.andWhere('key.tags @> ARRAY[:tag]::text[]', { tag });
  if (status !== undefined) select.andWhere(`(${BY_STATUS[status]})`, { now: new Date(nowMs) });
}
