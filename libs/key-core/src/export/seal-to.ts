import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import type { SealedSecret } from '#contracts';

const IV_BYTES = 12;
const TAG_BYTES = 16;
/** DER of an X25519 key before its 32 bytes (RFC 8410). */
const SPKI = Buffer.from('302a300506032b656e032100', 'hex');
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** A new X25519 pair; both in base64url. */
export function newRecipient(): { publicKey: string; privateKey: string } {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return { publicKey: rawOf(publicKey), privateKey: privateOf(privateKey) };
}

/** Seals a secret so that only the holder of the private key opens it, and only for `purpose`. */
export function sealTo(recipientKey: string, secret: Buffer, purpose: string): SealedSecret {
  const own = generateKeyPairSync('x25519');
  const ephemeralKey = rawOf(own.publicKey);
  const shared = diffieHellman({
    privateKey: own.privateKey,
    publicKey: publicFrom(recipientKey),
  });
  const key = keyOf(shared, `${ephemeralKey}.${recipientKey}`, purpose);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  const text = Buffer.concat([cipher.update(secret), cipher.final()]);
  const box = Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64url');
  return { ephemeralKey, box };
}

/** The secret that was sealed. @throws Error where it was altered, or is for somebody or something else */
export function openSealed(privateKey: string, sealed: SealedSecret, purpose: string): Buffer {
  const own = createPrivateKey({
    key: Buffer.concat([PKCS8, Buffer.from(privateKey, 'base64url')]),
    format: 'der',
    type: 'pkcs8',
  });
  const shared = diffieHellman({
    privateKey: own,
    publicKey: publicFrom(sealed.ephemeralKey),
  });
  const names = `${sealed.ephemeralKey}.${rawOf(createPublicKey(own))}`;
  const box = Buffer.from(sealed.box, 'base64url');
  const decipher = createDecipheriv(
    'aes-256-gcm',
    keyOf(shared, names, purpose),
    box.subarray(0, IV_BYTES),
    { authTagLength: TAG_BYTES },
  );
  decipher.setAuthTag(box.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  const text = decipher.update(box.subarray(IV_BYTES + TAG_BYTES));
  return Buffer.concat([text, decipher.final()]);
}

function publicFrom(raw: string): KeyObject {
  const key = Buffer.concat([SPKI, Buffer.from(raw, 'base64url')]);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}

function rawOf(key: KeyObject): string {
  return key.export({ format: 'der', type: 'spki' }).subarray(SPKI.length).toString('base64url');
}

function privateOf(key: KeyObject): string {
  return key.export({ format: 'der', type: 'pkcs8' }).subarray(PKCS8.length).toString('base64url');
}

function keyOf(shared: Buffer, names: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', shared, names, `keyward/${purpose}`, 32));
}
