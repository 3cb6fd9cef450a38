import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

const MAC_BYTES = 32;

/** Cursors of the list of reports, signed. */
export interface ReportCursors {
  /** A cursor that goes on below a report's number, for one consumer. */
  of(number: number, consumer: string): string;
  /** The number in a cursor; null where it was altered or given to another consumer or by another service. */
  numberIn(cursor: string, consumer: string): number | null;
}

/**
 * Cursors that every replica with the same secret takes.
 *
 * @param secret any secret of the service's own; the key is derived from it for this purpose
 */
export function createReportCursors(secret: string): ReportCursors {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'keyward/service-a/cursor/v1', 32));
  const macOf = (place: string, consumer: string) =>
    createHmac('sha256', key)
      .update(JSON.stringify(['reports', consumer, place]))
      .digest();
  return {
    /** Hexadecimal only, so that it never looks like a key or token. */
    of: (number, consumer) => {
      const place = String(number);
      return Buffer.concat([macOf(place, consumer), Buffer.from(place)]).toString('hex');
    },
    numberIn: (cursor, consumer) => {
      const bytes = Buffer.from(cursor, 'hex');
      const place = bytes.subarray(MAC_BYTES).toString();
      const isOurs =
        bytes.length > MAC_BYTES &&
        bytes.toString('hex') === cursor &&
        timingSafeEqual(bytes.subarray(0, MAC_BYTES), macOf(place, consumer));
      return isOurs ? Number(place) : null;
    },
  };
}
