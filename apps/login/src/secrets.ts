import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

/** Keys of the process, each derived from `LOGIN_SECRET` for one purpose. */
export interface LoginSecrets {
  refreshTokens: Buffer;
  clientSecrets: Buffer;
  signingKeys: Buffer;
  cursors: Buffer;
  /** Digests of what is asked for under an Idempotency-Key. */
  repeatedRequests: Buffer;
  /** Seals the secrets that an Idempotency-Key may ask for again. */
  repeatedSecrets: Buffer;
}

/** HKDF-SHA-256 over the root, one purpose a key. */
export function loginSecretsOf(root: Buffer): LoginSecrets {
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', root, Buffer.alloc(0), `keyward/login/${purpose}/v1`, 32));
  return {
    refreshTokens: derive('refresh-token'),
    clientSecrets: derive('client-secret'),
    signingKeys: derive('signing-key'),
    cursors: derive('cursor'),
    repeatedRequests: derive('repeated-request'),
    repeatedSecrets: derive('repeated-secret'),
  };
}

/** HMAC-SHA-256 of a secret that login has handed out: what is stored of it. */
export function digestOf(key: Buffer, secret: string): Buffer {
  return createHmac('sha256', key).update(secret).digest();
}

/** Compares two digests in constant time. */
export function isSameDigest(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** A new secret of 256 random bits: the prefix and 43 base64url characters. */
export function newSecret(prefix: 'kwr_' | 'kws_'): string {
  return prefix + randomBytes(32).toString('base64url');
}

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** A new public id: the prefix and 16 base62 characters, over 90 random bits. */
export function newId(prefix: 'usr_' | 'ses_'): string {
  let id = '';
  while (id.length < 16) {
    for (const byte of randomBytes(24)) if (byte < 248) id += ALPHABET[byte % 62];
  }
  return prefix + id.slice(0, 16);
}
