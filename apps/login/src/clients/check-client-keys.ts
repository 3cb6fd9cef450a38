import { createPublicKey } from 'node:crypto';
import type { ClientKeys } from '#contracts';
import { invalidField } from '#server';
import { isForgeableEd25519, isForgeableRsa } from './forgeable.js';

const LEAST_RSA_BITS = 2_048;

/**
 * Refuses what has the shape of a public key and is none: a point that is not on its curve, a modulus that begins with zeros. Its client
 * would learn of it from its first assertion, as a wrong one. Refuses, too, a key under which anybody can sign.
 *
 * @throws ProblemException INVALID_REQUEST
 */
export function checkClientKeys(jwks: ClientKeys | null | undefined): void {
  for (const [index, key] of (jwks?.keys ?? []).entries())
    if (!isKey(key))
      throw invalidField(`/jwks/keys/${index}`, `This is no public key that ${key.kty} can use`);
}

function isKey(jwk: ClientKeys['keys'][number]): boolean {
  try {
    const key = createPublicKey({ key: jwk as never, format: 'jwk' });
    if (jwk.kty === 'OKP') return !isForgeableEd25519(key);
    if (jwk.kty === 'EC') return true;
    return (key.asymmetricKeyDetails?.modulusLength ?? 0) >= LEAST_RSA_BITS && !isForgeableRsa(key);
  } catch {
    return false;
  }
}
