import { hkdfSync } from 'node:crypto';

const KEY_BYTES = 32;

/**
 * A 32-byte key of its own for `purpose`, by HKDF-SHA-256 from one root: what is made with one says nothing of another.
 *
 * @param purpose such as `key-service/cache-mac/v1`; never shared by two uses
 */
export function deriveKey(root: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', root, Buffer.alloc(0), `keyward/${purpose}`, KEY_BYTES));
}
