import type { SelectQueryBuilder } from 'typeorm';
import type { ListKeysQuery } from '#contracts';
import { pageOf, placeOf } from '../access/cursor.js';
import type { Principal } from '../access/principal.js';
import { onlyVisible } from './find-key.js';
import { filterKeys, LAST_USE, type KeyFilters } from './key-filters.js';
import { KeyEntity } from './key.entity.js';
import { KeyGrantEntity } from './key-grant.entity.js';
import { KeyTagEntity } from './key-tag.entity.js';
import { firstOf } from './listed-keys.js';
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
  const time = timeOf(others);
  if (time === undefined) {
    const { service = onlyServiceOf(by), tag, ...rest } = others;
    filterKeys(select, rest, nowMs);
    newest(select, place, { service, tag });
  } else {
    filterKeys(select, others, nowMs);
    earliest(select, place, time);
  }
  const wanted = limit + 1;
  const rows =
    q === undefined
      ? await firstOf(select, wanted)
      : await searchKeys(manager, { select, q, wanted });
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

/** What a list is in the order of, undefined where that is its keys' creation. */
function timeOf({ expiresBefore, status, unusedSince }: KeyFilters): string | undefined {
  if (expiresBefore !== undefined || status === 'expired') return 'key.expires_at';
  return unusedSince === undefined ? undefined : LAST_USE;
}

/** That which every key that the principal may see is of, where there is one: none has no grant. */
function onlyServiceOf({ services }: Principal): string | undefined {
  return services?.length === 1 ? services[0] : undefined;
}

/**
 * Puts a selection in order of creation, the newest first, after a place unless that is null, and selects the `place` of each row.
 * Those of a service, and those with a tag, are found by rows of its own which are in this order too: of a million keys it may have few.
 * The place is said of these as well; the planner does not conclude it, and would read all that come before.
 */
function newest(
  select: SelectQueryBuilder<KeyEntity>,
  place: string | null,
  { service, tag }: Pick<KeyFilters, 'service' | 'tag'>,
): void {
  const ordered = ['key.seq'];
  if (service !== undefined) {
    const isOf = 'held.key_seq = key.seq AND held.service = :service';
    select.innerJoin(KeyGrantEntity, 'held', isOf, { service });
    ordered.push('held.key_seq');
  }
  if (tag !== undefined) {
    const has = 'tagged.key_seq = key.seq AND tagged.tag = :tag';
    select.innerJoin(KeyTagEntity, 'tagged', has, { tag });
    ordered.push('tagged.key_seq');
  }
  select.addSelect('key.seq::text', 'place').orderBy('key.seq', 'DESC');
  if (place === null) return;
  for (const seq of ordered) select.andWhere(`${seq} < :place`, { place });
}

/** Puts it in the order of a time, the earliest first. The database's own text of a time goes into the place: it has microseconds. */
function earliest(select: SelectQueryBuilder<KeyEntity>, place: string | null, time: string): void {
  select
    .addSelect(time, 'moment')
    .addSelect(`concat_ws(' / ', key.seq, ${time})`, 'place')
    .orderBy('moment')
    .addOrderBy('key.seq');
  if (place === null) return;
  const [seq, moment] = place.split(' / ');
  select.andWhere(`(${time}, key.seq) > (:moment, :seq)`, { moment, seq });
}
