import { createHmac, timingSafeEqual } from 'node:crypto';
import { BadRequestException } from '@nestjs/common';

/** One page, and the cursor of the next. */
export interface Page<T> {
  data: T[];
  nextCursor: string | null;
}

/**
 * Cuts a page out of rows in ascending `seq` that were asked for with one more than fits.
 *
 * @param list name of the list; a cursor of another list is refused
 */
export function pageOf<R extends { seq: string }, T>(
  rows: R[],
  by: { limit: number; list: string; key: Buffer; show: (row: R) => T },
): Page<T> {
  const fitting = rows.slice(0, by.limit);
  const last = rows.length > by.limit ? fitting.at(-1) : undefined;
  return {
    data: fitting.map(by.show),
    nextCursor: last === undefined ? null : sign(by.key, by.list, last.seq),
  };
}

/**
 * The `seq` after which a page starts; '0' without a cursor.
 *
 * @throws BadRequestException INVALID_CURSOR where the cursor is not one that this list gave
 */
export function startOf(key: Buffer, list: string, cursor: string | undefined): string {
  if (cursor === undefined) return '0';
  const seq = /^([1-9][0-9]{0,18})\.[A-Za-z0-9_-]{22}$/.exec(cursor)?.[1];
  const isOurs =
    seq !== undefined && timingSafeEqual(Buffer.from(sign(key, list, seq)), Buffer.from(cursor));
  if (isOurs) return seq;
  throw new BadRequestException('Send the nextCursor of the page before, as it was given', {
    errorCode: 'INVALID_CURSOR',
  });
}

function sign(key: Buffer, list: string, seq: string): string {
  const mac = createHmac('sha256', key).update(`${list}\0${seq}`).digest();
  return `${seq}.${mac.subarray(0, 16).toString('base64url')}`;
}
