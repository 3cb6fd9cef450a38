import { createPublicKey } from 'node:crypto';
import type { ClientKeys } from '#contracts';
import { invalidField } from '#server';

const LEAST_RSA_BITS = 2_048;

/**
 * Refuses what has the shape of a public key and is none: a point that is not on its curve, a modulus that begins with zeros. Its client
 * would learn of it from its first assertion, as a wrong one.
 *
 * @throws ProblemException INVALID_REQUEST
 */
export function checkClientKeys(jwks: ClientKeys | null | undefined): void {
  for (const [index, key] of (jwks?.keys ?? []).entries())
    if (!isKey(key))
      throw invalidField(`/jwks/keys/${index}`, `This is no public key that ${key.kty} can use`);
}

function isKey(key: ClientKeys['keys'][number]): boolean {
  try {
    const { asymmetricKeyDetails } = createPublicKey({ key: key as never, format: 'jwk' });
    return (asymmetricKeyDetails?.modulusLength ?? LEAST_RSA_BITS) >= LEAST_RSA_BITS;
  } catch {
    return false;
  }
}
