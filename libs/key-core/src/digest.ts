import { createHmac, timingSafeEqual } from 'node:crypto';

/** Says what the HMAC is for, so that a digest of another purpose never equals one of a key. */
const CONTEXT = 'keyward/key/v1\0';

/** Compared against where there is no key: as long as a digest, and the digest of nothing. */
export const DUMMY_DIGEST: Buffer = Buffer.alloc(32);

/** What is stored of a key: HMAC-SHA-256 of context and whole text under a pepper; 32 bytes. */
export function digestKey(pepper: Buffer, text: string): Buffer {
  return createHmac('sha256', pepper).update(CONTEXT).update(text).digest();
}

/** Whether two digests are equal, in a time that does not tell where they differ. */
export function sameDigest(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
