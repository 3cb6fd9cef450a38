import { z } from 'zod';
import { policy, rateLimit } from './catalog.js';
import { environment, keyId, quota } from './keys.js';
import { isLowOrder } from './low-order.js';
import { instantOut, metadata, scope, slug } from './primitives.js';

const BYTES_32 = /^[A-Za-z0-9_-]{43}$/;

/** X25519 public key as its 32 bytes in base64url, written as an encoder writes them; none that agrees on the same secret with everybody. */
const recipientKey = z
  .string()
  .refine(
    (text) => BYTES_32.test(text) && Buffer.from(text, 'base64url').toString('base64url') === text,
    { error: 'Use 32 bytes as 43 characters of base64url without padding', abort: true },
  )
  .refine(
    (text) => !isLowOrder(Buffer.from(text, 'base64url')),
    'Use the public key of a new X25519 pair: this one is of low order, so that what is sealed to it is open to everybody',
  );

/**
 * `POST /v1/exports`: the keys of a service, for one that takes them over. `recipientKey` is its X25519 public key (base64url, 32 bytes):
 * the pepper of the export is sealed to it.
 */
export const createExportBody = z
  .strictObject({ service: slug, recipientKey })
  .meta({ id: 'CreateExportBody' });
export type CreateExportBody = z.infer<typeof createExportBody>;

/** A secret sealed to a public key: X25519, HKDF-SHA-256, AES-256-GCM (IV, tag, text); base64url. */
export const sealedSecret = z.object({ ephemeralKey: z.string(), box: z.string() });
export type SealedSecret = z.infer<typeof sealedSecret>;

/** First line of an export. */
export const exportHeader = z.object({
  type: z.literal('header'),
  format: z.literal('keyward-export/1'),
  service: slug,
  scopes: z.array(scope),
  policy,
  /** Key of {@link exportedSecret}'s digests: for the recipient alone. */
  pepper: sealedSecret,
  createdAt: instantOut,
});
export type ExportHeader = z.infer<typeof exportHeader>;

/**
 * A secret of an exported key. `digest` is HMAC-SHA-256 of SHA-256 of the key's text under the export's pepper, base64url; null
 * where the platform has never seen the text: an imported key that was not used since.
 */
export const exportedSecret = z.object({
  number: z.int(),
  digest: z.string().nullable(),
  prefix: z.string(),
  last4: z.string(),
  createdAt: instantOut,
  validUntil: instantOut.nullable(),
});

/** A line for each key that is neither revoked nor expired. */
export const exportedKey = z.object({
  type: z.literal('key'),
  id: keyId,
  name: z.string(),
  consumer: slug,
  environment,
  scopes: z.array(scope),
  /** A key of a disabled consumer is disabled. */
  enabled: z.boolean(),
  notBefore: instantOut.nullable(),
  expiresAt: instantOut.nullable(),
  rateLimits: z.array(rateLimit),
  quota: quota.nullable(),
  ipAllowlist: z.array(z.string()),
  tags: z.array(z.string()),
  metadata,
  createdAt: instantOut,
  secrets: z.array(exportedSecret),
});
export type ExportedKey = z.infer<typeof exportedKey>;

/** Last line: how many keys there were, and the signature over every byte before this line; see {@link exportKeys}. */
export const exportTrailer = z.object({
  type: z.literal('signature'),
  keys: z.int(),
  /** Keys without any digest. */
  unportable: z.int(),
  kid: z.string(),
  value: z.string(),
});
export type ExportTrailer = z.infer<typeof exportTrailer>;

/** `GET /v1/exports/keys`: public keys (JWK, RFC 8037) that exports are signed with. */
export const exportKeys = z
  .object({
    keys: z.array(
      z.object({
        kty: z.literal('OKP'),
        crv: z.literal('Ed25519'),
        x: z.string(),
        kid: z.string(),
        use: z.literal('sig'),
        alg: z.literal('EdDSA'),
      }),
    ),
  })
  .meta({ id: 'ExportKeys' });
export type ExportKeys = z.infer<typeof exportKeys>;
