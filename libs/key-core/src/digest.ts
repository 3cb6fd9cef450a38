import { createHmac, hash, timingSafeEqual } from 'node:crypto';

/** Says what the HMAC is for, so that a digest of another purpose never equals one of a key. */
const CONTEXT = 'keyward/key/v1\0';

/** Compared against where there is no key: as long as a digest, and the digest of nothing. */
export const DUMMY_DIGEST: Buffer = Buffer.alloc(32);

/** What is stored of a key: HMAC-SHA-256 of context and whole text under a pepper; 32 bytes. */
export function digestKey(pepper: Buffer, text: string): Buffer {
  if (text.length > MAX_LENGTH || pepper.length > BLOCK_BYTES)
    return createHmac('sha256', pepper).update(CONTEXT).update(text).digest();
  let scratch = scratches.get(pepper);
  if (scratch === undefined) scratches.set(pepper, (scratch = scratchOf(pepper)));
  const { inner, outer } = scratch;
  const bytes = inner.write(text, START);
  const first = hash('sha256', inner.subarray(0, START + bytes), 'binary');
  outer.write(first, BLOCK_BYTES, 'latin1');
  return hash('sha256', outer, 'buffer');
}

/** Whether two digests are equal, in a time that does not tell where they differ. */
export function sameDigest(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

const BLOCK_BYTES = 64;
const START = BLOCK_BYTES + CONTEXT.length;
/** Longer than any key's text. */
const MAX_LENGTH = 128;

/**
 * Where the two hashes of an HMAC (RFC 2104) are prepared, their first block made once for each pepper. It takes two thirds
 * of the time of `createHmac`, whose native objects also keep the garbage collector busy.
 */
interface Scratch {
  inner: Buffer;
  outer: Buffer;
}

const scratches = new WeakMap<Buffer, Scratch>();

function scratchOf(pepper: Buffer): Scratch {
  const inner = Buffer.alloc(START + 3 * MAX_LENGTH);
  const outer = Buffer.alloc(BLOCK_BYTES + 32);
  for (let i = 0; i < BLOCK_BYTES; i += 1) {
    inner[i] = (pepper[i] ?? 0) ^ 0x36;
    outer[i] = (pepper[i] ?? 0) ^ 0x5c;
  }
  inner.write(CONTEXT, BLOCK_BYTES);
  return { inner, outer };
}
