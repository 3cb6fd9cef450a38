import { createHmac, hash } from 'node:crypto';

const CONTEXT = 'keyward/export/v1\0';

/** Digest of a key in an export: HMAC-SHA-256 under the export's pepper, of SHA-256 of the key's text; 32 bytes. */
export function portableDigest(pepper: Buffer, sha256OfText: Buffer): Buffer {
  return createHmac('sha256', pepper).update(CONTEXT).update(sha256OfText).digest();
}

/** {@link portableDigest} of a presented text. */
export function portableDigestOfText(pepper: Buffer, text: string): Buffer {
  return portableDigest(pepper, hash('sha256', text, 'buffer'));
}
