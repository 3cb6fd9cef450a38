import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

const MAC_BYTES = 32;

/** Cursors of a list, signed. */
export interface SignedCursors {
  /** A cursor that goes on after the row with a number, for whoever has asked, or what they have asked for. */
  of(number: number, asked: string): string;
  /** The number in a cursor; null where it was altered, or given elsewhere or to another question. */
  numberIn(cursor: string, asked: string): number | null;
}

/**
 * Cursors that every replica with the same secret takes.
 *
 * @param secret any secret of the service's own; the key is derived from it for this purpose
 * @param list name of the list; another one takes none of them
 */
export function createCursors(secret: string, list: string): SignedCursors {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'keyward/service-a/cursor/v1', 32));
  const macOf = (place: string, asked: string) =>
    createHmac('sha256', key)
      .update(JSON.stringify([list, asked, place]))
      .digest();
  return {
    /** Hexadecimal only, so that it never looks like a key or token. */
    of: (number, asked) => {
      const place = String(number);
      return Buffer.concat([macOf(place, asked), Buffer.from(place)]).toString('hex');
    },
    numberIn: (cursor, asked) => {
      const bytes = Buffer.from(cursor, 'hex');
      const place = bytes.subarray(MAC_BYTES).toString();
      const isOurs =
        bytes.length > MAC_BYTES &&
        bytes.toString('hex') === cursor &&
        timingSafeEqual(bytes.subarray(0, MAC_BYTES), macOf(place, asked));
      return isOurs ? Number(place) : null;
    },
  };
}
