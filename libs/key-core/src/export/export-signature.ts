import { createPrivateKey, createPublicKey, hash, sign, verify, type KeyObject } from 'node:crypto';
import type { ExportKeys } from '#contracts';

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const CONTEXT = 'keyward/export-signature/v1\0';

/** Signs exports with Ed25519. */
export interface ExportSigner {
  kid: string;
  /** Signature over the SHA-256 of an export's lines; base64url. */
  sign: (sha256: Buffer) => string;
  publicKeys: ExportKeys;
}

/** The signer that a 32-byte seed stands for. */
export function exportSignerOf(seed: Buffer): ExportSigner {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const { x } = createPublicKey(key).export({ format: 'jwk' }) as { x: string };
  const kid = hash('sha256', x, 'base64url').slice(0, 16);
  return {
    kid,
    sign: (sha256) => sign(null, signedOf(sha256), key).toString('base64url'),
    publicKeys: { keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' }] },
  };
}

/** Whether a signature over the SHA-256 of an export's lines is by the named one of the published keys. */
export function isSignedBy(
  { keys }: ExportKeys,
  { kid, value }: { kid: string; value: string },
  sha256: Buffer,
): boolean {
  const jwk = keys.find((one) => one.kid === kid);
  if (jwk === undefined) return false;
  const key: KeyObject = createPublicKey({
    key: { kty: jwk.kty, crv: jwk.crv, x: jwk.x },
    format: 'jwk',
  });
  return verify(null, signedOf(sha256), key, Buffer.from(value, 'base64url'));
}

function signedOf(sha256: Buffer): Buffer {
  return Buffer.concat([Buffer.from(CONTEXT), sha256]);
}
