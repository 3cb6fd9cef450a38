import type { LegacyScheme } from '#contracts';
import { readSlowHash, type SlowAlgorithm, type SlowHash } from './slow-hash.js';

/** From here on no fast hash can be guessed (OWASP ASVS 5.0, 6.5.2). */
const ENOUGH_BITS = 112;

/**
 * What OWASP's Password Storage Cheat Sheet names as the least work of each: the cheapest of the settings that it holds to be equal.
 * bcrypt in rounds, argon2id in KiB times passes, scrypt in N·r·p, PBKDF2 in iterations.
 */
const RECOMMENDED = {
  bcrypt: 2 ** 10,
  argon2id: 7_168 * 5,
  scrypt: 2 ** 13 * 8 * 10,
  pbkdf2: { sha1: 1_300_000, sha256: 600_000, sha512: 210_000 },
} as const;

/**
 * Which part of that is still enough. The figures follow the hardware, for PBKDF2 twofold in two years: a hash that was made by those of
 * four years ago, two doublings behind, is no reason yet to end a key.
 */
const ENOUGH_WORK = 1 / 4;

/**
 * Whether whoever reads a hash may guess the key: of a secret whose entropy is low or not known, a fast hash, or a slow one that costs
 * next to nothing. A keyed one counts where the secret is known to be low, as its key came along.
 *
 * @param hash as it is kept
 * @param entropyBits of the secret, where its maker is known; undefined otherwise
 */
export function isWeak(
  { algorithm }: LegacyScheme,
  hash: string,
  entropyBits: number | undefined,
): boolean {
  switch (algorithm) {
    case 'sha256':
    case 'sha512':
      return (entropyBits ?? 0) < ENOUGH_BITS;
    case 'hmac-sha256':
    case 'keyward-local':
      return (entropyBits ?? ENOUGH_BITS) < ENOUGH_BITS;
    default:
      return (entropyBits ?? 0) < ENOUGH_BITS && isCheap(algorithm, hash);
  }
}

function isCheap(algorithm: SlowAlgorithm, text: string): boolean {
  const hash = readSlowHash(algorithm, text);
  return typeof hash === 'string' || workOf(hash) < ENOUGH_WORK;
}

/** As a part of what is recommended. */
function workOf(hash: SlowHash): number {
  switch (hash.algorithm) {
    case 'bcrypt':
      return 2 ** hash.cost / RECOMMENDED.bcrypt;
    case 'argon2id':
      return (hash.memoryKib * hash.passes) / RECOMMENDED.argon2id;
    case 'scrypt':
      return (hash.n * hash.r * hash.p) / RECOMMENDED.scrypt;
    default:
      return hash.iterations / RECOMMENDED.pbkdf2[hash.hash];
  }
}
