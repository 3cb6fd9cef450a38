import { createHmac, hash } from 'node:crypto';
import { portableDigestOfText } from '../export/portable-digest.js';
import { MAX_LEGACY_HASH_CHARACTERS, type LegacyScheme } from '#contracts';

/** Algorithms without a salt: a key is found by its digest. */
export const FAST_ALGORITHMS = ['sha256', 'sha512', 'hmac-sha256', 'keyward-local'] as const;
export type FastAlgorithm = (typeof FAST_ALGORITHMS)[number];

const BYTES: Record<FastAlgorithm, number> = {
  sha256: 32,
  sha512: 64,
  'hmac-sha256': 32,
  'keyward-local': 32,
};

/** Whether keys of the scheme are found by their digest. */
export function isFast(
  scheme: LegacyScheme,
): scheme is LegacyScheme & { algorithm: FastAlgorithm } {
  return (FAST_ALGORITHMS as readonly string[]).includes(scheme.algorithm);
}

/** The digest of the part of a key that the scheme hashes. */
export function fastDigest(
  { algorithm, key, context = '' }: LegacyScheme & { algorithm: FastAlgorithm },
  part: string,
): Buffer {
  if (algorithm === 'sha256' || algorithm === 'sha512') return hash(algorithm, part, 'buffer');
  const secret = Buffer.from(key ?? '', 'base64');
  if (algorithm === 'keyward-local') return portableDigestOfText(secret, part);
  return createHmac('sha256', secret).update(context).update(part).digest();
}

/** The digest that a text stands for in the scheme's encoding, or null for any that is not one. Letters of hex may be large. */
export function readFastDigest(
  { algorithm, encoding }: LegacyScheme & { algorithm: FastAlgorithm },
  text: string,
): Buffer | null {
  if (text.length > MAX_LEGACY_HASH_CHARACTERS) return null;
  const canonical = encoding === 'hex' ? text.toLowerCase() : text.replace(/={1,2}$/, '');
  const bytes = Buffer.from(canonical, encoding);
  const again = bytes.toString(encoding).replace(/=+$/, '');
  return bytes.length === BYTES[algorithm] && again === canonical ? bytes : null;
}
