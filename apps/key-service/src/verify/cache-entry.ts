import { createHmac, timingSafeEqual } from 'node:crypto';
import { decodeRecord, encodeRecord, type KeyRecord, type RecordParts } from '#key-core';
import { inOnePiece } from './kept-texts.js';

/** A record as it stands in the cache. */
export interface CacheEntry {
  record: KeyRecord | null;
  version: number;
  /** Epoch that the record was read in. */
  epoch: number;
  /** When the record was read from the store, milliseconds since 1970. */
  asOfMs: number;
  /** Start of the stored text that is its own, MAC included: equal tags are equal entries. */
  tag: string;
}

/**
 * Text of a cache entry, `<version>:<epoch>:<mac>:<asOf>|<record>`. The MAC (HMAC-SHA-256 over key id and everything else)
 * keeps a writer of Redis from making or altering one, or moving it to another key. A key that does not exist is an entry
 * of version 0 without a record.
 */
export function sealEntry(macKey: Buffer, keyId: string, entry: Omit<CacheEntry, 'tag'>): string {
  const body = `${entry.asOfMs}|${entry.record === null ? '' : encodeRecord(entry.record)}`;
  return `${entry.version}:${entry.epoch}:${macOf(macKey, keyId, entry, body)}:${body}`;
}

/**
 * The entry that a text holds, or null for a marker, for one that was not sealed with this key for this id, and for another format.
 *
 * @param parts of the records that were read before
 */
export function openEntry(
  macKey: Buffer,
  keyId: string,
  text: string,
  parts: RecordParts,
): CacheEntry | null {
  const match = /^(\d+):(\d+):([\w-]{43}):((\d+)\|(.*))$/s.exec(text);
  if (match === null) return null;
  const [, version, epoch, mac, body, asOf, record] = match as unknown as string[];
  const head = { version: Number(version), epoch: Number(epoch) };
  if (!timingSafeEqual(Buffer.from(mac!), Buffer.from(macOf(macKey, keyId, head, body!))))
    return null;
  try {
    return {
      record: record === '' ? null : decodeRecord(record!, parts),
      version: head.version,
      epoch: head.epoch,
      asOfMs: Number(asOf),
      tag: inOnePiece(text.slice(0, text.length - body!.length)),
    };
  } catch {
    return null;
  }
}

function macOf(
  macKey: Buffer,
  keyId: string,
  head: { version: number; epoch: number },
  body: string,
): string {
  return createHmac('sha256', macKey)
    .update(`${keyId}\0${head.version}\0${head.epoch}\0${body}`)
    .digest('base64url');
}
