import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { calculateJwkThumbprint, type JWK } from 'jose';
import type { SigningKeyEntity } from './signing-key.entity.js';

const generate = promisify(generateKeyPair);

type Family = SigningKeyEntity['algorithm'];

/** A new key pair of a family, 128 bits strong; `kid` is the thumbprint of the public half (RFC 7638). */
export async function newKeyPair(
  algorithm: Family,
): Promise<{ kid: string; publicJwk: JWK; privateKey: KeyObject }> {
  const { privateKey, publicKey } = await PAIRS[algorithm]();
  const jwk = publicKey.export({ format: 'jwk' }) as JWK;
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, publicJwk: { ...jwk, kid, alg: algorithm, use: 'sig' }, privateKey };
}

const PAIRS = {
  ES256: () => generate('ec', { namedCurve: 'P-256' }),
  RS256: () => generate('rsa', { modulusLength: 3_072 }),
  EdDSA: () => generate('ed25519'),
} as const satisfies Record<Family, () => Promise<unknown>>;
