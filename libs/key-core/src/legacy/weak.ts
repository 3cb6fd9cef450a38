import type { LegacyScheme } from '#contracts';

/** From here on no fast hash can be guessed (OWASP ASVS 5.0, 6.5.2). */
const ENOUGH_BITS = 112;

/**
 * Whether whoever reads a hash may guess the key: a fast hash of a secret whose entropy is low or not known. A keyed one counts
 * where the secret is known to be low, as its key came along.
 *
 * @param entropyBits of the secret, where its maker is known; undefined otherwise
 */
export function isWeak({ algorithm }: LegacyScheme, entropyBits: number | undefined): boolean {
  if (algorithm === 'sha256' || algorithm === 'sha512') return (entropyBits ?? 0) < ENOUGH_BITS;
  const isKeyed = algorithm === 'hmac-sha256' || algorithm === 'keyward-local';
  return isKeyed && (entropyBits ?? ENOUGH_BITS) < ENOUGH_BITS;
}
