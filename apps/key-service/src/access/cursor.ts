import { createHmac, timingSafeEqual } from 'node:crypto';
import { ProblemException } from '#server';
import type { Principal } from './principal.js';

const MAC_BYTES = 32;

/** The list that a cursor belongs to: it opens no other list, no other filters and nothing of another principal's. */
export interface CursorScope {
  /** HMAC key of the key service's cursors. */
  key: Buffer;
  list: string;
  filters: Record<string, string | undefined>;
  by: Principal;
}

/**
 * The place of a cursor that {@link pageOf} gave out for the same scope; null for the first page.
 *
 * @throws ProblemException INVALID_CURSOR
 */
export function placeOf(scope: CursorScope, cursor: string | undefined): string | null {
  if (cursor === undefined) return null;
  const bytes = Buffer.from(cursor, 'hex');
  const place = bytes.subarray(MAC_BYTES).toString();
  const isOurs =
    bytes.length > MAC_BYTES &&
    bytes.toString('hex') === cursor &&
    timingSafeEqual(bytes.subarray(0, MAC_BYTES), macOf(scope, place));
  if (isOurs) return place;
  throw new ProblemException(
    'INVALID_CURSOR',
    'Use nextCursor of the page before with the same filters, or start without a cursor',
  );
}

/**
 * A page out of the rows that were found, of which there is one more than `limit` where another page follows.
 *
 * @param show turns the rows of the page into what is answered, in their order
 */
export async function pageOf<Row, Item>(
  scope: CursorScope,
  rows: Row[],
  { limit, placeOfRow, show }: PageShape<Row, Item>,
): Promise<{ data: Item[]; nextCursor: string | null }> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = rows.length > limit && last !== undefined;
  return {
    data: await show(shown),
    nextCursor: hasMore ? cursorOf(scope, placeOfRow(last)) : null,
  };
}

/** How {@link pageOf} cuts and shows rows. */
export interface PageShape<Row, Item> {
  limit: number;
  placeOfRow: (row: Row) => string;
  show: (rows: Row[]) => Item[] | Promise<Item[]>;
}

/** Hexadecimal only, so that it never looks like a key or token. */
function cursorOf(scope: CursorScope, place: string): string {
  return Buffer.concat([macOf(scope, place), Buffer.from(place)]).toString('hex');
}

function macOf({ key, list, filters, by }: CursorScope, place: string): Buffer {
  const named = Object.entries(filters).filter(([, value]) => value !== undefined);
  const bound = [list, by.actor, by.via, named.toSorted(([a], [b]) => (a < b ? -1 : 1)), place];
  return createHmac('sha256', key).update(JSON.stringify(bound)).digest();
}
