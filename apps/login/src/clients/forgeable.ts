import { checkPrimeSync, type KeyObject } from 'node:crypto';

const LEAST_EXPONENT = 65_537n;
/** The field of Ed25519. */
const FIELD = 2n ** 255n - 19n;
/** One of the two heights at which its curve has points of order 8; the other is its opposite. */
const EIGHTH = 0x5fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
/** The heights of all points of order 1, 2, 4 and 8 (RFC 8032, section 5.1). */
const SMALL_ORDER = new Set([1n, FIELD - 1n, 0n, EIGHTH, FIELD - EIGHTH]);
/** Up to 751, as SP 800-89 (section 5.3.3) tries them. */
const SMALL_PRIMES = Array.from({ length: 752 }, (_, n) => n).filter(isSmallPrime);

/**
 * Whether anybody can sign under an RSA key: its exponent is even or less than NIST SP 800-56B (section 6.4.2.2) allows, or its modulus
 * is even, has another factor that is found by trying, or is itself prime.
 */
export function isForgeableRsa(key: KeyObject): boolean {
  const exponent = key.asymmetricKeyDetails?.publicExponent ?? 0n;
  if (exponent < LEAST_EXPONENT || exponent % 2n === 0n) return true;
  const modulus = numberOf(Buffer.from(key.export({ format: 'jwk' }).n ?? '', 'base64url'));
  return SMALL_PRIMES.some((prime) => modulus % BigInt(prime) === 0n) || checkPrimeSync(modulus);
}

/** Whether an Ed25519 key is a point of small order, in any spelling: there is a signature that fits every text, or one in eight of them. */
export function isForgeableEd25519(key: KeyObject): boolean {
  const bytes = Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url').reverse();
  const height = numberOf(bytes) & (2n ** 255n - 1n);
  return SMALL_ORDER.has(height % FIELD);
}

function numberOf(bytes: Buffer): bigint {
  return BigInt(`0x0${bytes.toString('hex')}`);
}

function isSmallPrime(n: number): boolean {
  if (n < 2) return false;
  for (let factor = 2; factor * factor <= n; factor += 1) if (n % factor === 0) return false;
  return true;
}
