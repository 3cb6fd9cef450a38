/** The field of X25519 (RFC 7748). */
const PRIME = 2n ** 255n - 19n;
/** The u-coordinates of all points whose order divides 8, on the curve and its twist. */
const LOW_ORDER = new Set([
  0n,
  1n,
  PRIME - 1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
]);

/**
 * Whether an X25519 public key, its 32 bytes, is of low order: every private key has the same secret with it, zero, which
 * OpenSSL refuses to derive. As X25519 does it ignores the highest bit and reads numbers from the prime on as what they leave.
 */
export function isLowOrder(publicKey: Buffer): boolean {
  const hex = Buffer.from(publicKey).reverse().toString('hex');
  return LOW_ORDER.has(BigInt.asUintN(255, BigInt(`0x${hex}`)) % PRIME);
}
