import { createPrivateKey, randomUUID, sign, type KeyObject } from 'node:crypto';

/** How a service signs for itself: `private_key_jwt` (RFC 7523), in place of a secret that login knows too. */
export interface ClientAssertionOptions {
  clientId: string;
  /** Login's issuer name, or its token endpoint. */
  audience: string;
  /** PEM (PKCS #8) of a P-256, Ed25519 or RSA key; its public half is registered at login under `keyId`. */
  privateKey: string;
  keyId: string;
}

const LIFE_SECONDS = 60;

/**
 * A source of assertions, each good for one token request within a minute.
 *
 * @throws Error at once where the key is none of these kinds; the message does not show it
 */
export function createClientAssertion(options: ClientAssertionOptions): () => string {
  const { clientId, audience, keyId } = options;
  const key = createPrivateKey(options.privateKey);
  const algorithm = algorithmOf(key);
  return () => {
    const now = Math.floor(Date.now() / 1_000);
    const claims = { iss: clientId, sub: clientId, aud: audience, jti: randomUUID() };
    const header = encode({ alg: algorithm, kid: keyId, typ: 'JWT' });
    const input = `${header}.${encode({ ...claims, iat: now, exp: now + LIFE_SECONDS })}`;
    const hash = algorithm === 'EdDSA' ? null : 'sha256';
    const signature = sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
    return `${input}.${signature.toString('base64url')}`;
  };
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject) {
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256';
  if (type === 'ed25519') return 'EdDSA';
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2_048) return 'RS256';
  throw new Error('The private key must be P-256, Ed25519, or RSA of 2048 bits or more');
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
