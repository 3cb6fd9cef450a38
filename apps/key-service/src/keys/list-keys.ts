import type { SelectQueryBuilder } from 'typeorm';
import type { ListKeysQuery } from '#contracts';
import { pageOf, placeOf } from '../access/cursor.js';
import type { Principal } from '../access/principal.js';
import { onlyVisible } from './find-key.js';
import { filterKeys, LAST_USE, type KeyFilters } from './key-filters.js';
import { KeyEntity } from './key.entity.js';
import { KeyGrantEntity } from './key-grant.entity.js';
import { searchKeys } from './search-keys.js';
import { showKeys } from './show-key.js';
import type { Work } from './work.js';

/**
 * Keys that the principal may see and that fit all filters: the soonest to end first where they are asked for by their end,
 * else the longest unused first where they are asked for by their use, else the newest first. An index gives each order, so
 * that no page costs more than the first.
 */
export async function listKeys(
  { manager, by, material, link }: Work,
  { limit, cursor, ...filters }: ListKeysQuery,
) {
  const scope = { key: material.cursorKey, list: 'keys', filters, by };
  const place = placeOf(scope, cursor);
  const nowMs = material.now();
  const select = onlyVisible(manager.createQueryBuilder(KeyEntity, 'key'), by);
  const { q, ...others } = filters;
  filterKeys(select, others, nowMs);
  orderFor(filters, by)(select, place);
  if (q !== undefined) await searchKeys(manager, select, { q, wanted: limit + 1 });
  const { entities, raw } = await select.limit(limit + 1).getRawAndEntities<{ place: string }>();
  const rows = entities.map((key, index) => ({ key, place: raw[index]!.place }));
  return pageOf(scope, rows, {
    limit,
    placeOfRow: (row) => row.place,
    show: (shown) =>
      showKeys(
        manager,
        shown.map((row) => row.key),
        nowMs,
        link,
      ),
  });
}

/** Puts a selection in order, after a place unless that is null, and selects the `place` of each row. */
type Order = (select: SelectQueryBuilder<KeyEntity>, place: string | null) => void;

function orderFor(
  { expiresBefore, status, unusedSince, service }: KeyFilters,
  by: Principal,
): Order {
  if (expiresBefore !== undefined || status === 'expired') return byTime('key.expires_at');
  if (unusedSince !== undefined) return byTime(LAST_USE);
  const only = by.services?.length === 1 ? by.services[0] : undefined;
  const anchor = service ?? only;
  return anchor === undefined ? newest : newestOf(anchor);
}

const newest: Order = (select, place) => {
  select.addSelect('key.seq::text', 'place').orderBy('key.seq', 'DESC');
  if (place !== null) select.andWhere('key.seq < :place', { place });
};

/** The same by way of a service's own grants: of a million keys it may have few. */
function newestOf(anchor: string): Order {
  return (select, place) => {
    select
      .innerJoin(KeyGrantEntity, 'held', 'held.key_id = key.id AND held.service = :anchor', {
        anchor,
      })
      .addSelect('held.key_seq::text', 'place')
      .orderBy('held.keySeq', 'DESC');
    if (place !== null) select.andWhere('held.key_seq < :place', { place });
  };
}

/** The earliest first. The database's own text of a time goes into the place: it has microseconds. */
function byTime(time: string): Order {
  return (select, place) => {
    select
      .addSelect(time, 'moment')
      .addSelect(`concat_ws(' / ', key.seq, ${time})`, 'place')
      .orderBy('moment')
      .addOrderBy('key.seq');
    if (place === null) return;
    const [seq, moment] = place.split(' / ');
    select.andWhere(`(${time}, key.seq) > (:moment, :seq)`, { moment, seq });
  };
}
