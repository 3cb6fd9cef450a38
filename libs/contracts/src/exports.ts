import { z } from 'zod';
import { policy, rateLimit } from './catalog.js';
import { environment, keyId, quota } from './keys.js';
import { instantOut, metadata, scope, slug } from './primitives.js';

/** Bytes as base64 without padding in the URL alphabet. */
const bytes = (count: number) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/, 'Use base64url')
    .refine((text) => Buffer.from(text, 'base64url').length === count, `Use ${count} bytes`);

/**
 * `POST /v1/exports`: the keys of a service, for one that takes them over. `recipientKey` is its X25519 public key (base64url, 32 bytes):
 * the pepper of the export is sealed to it.
 */
export const createExportBody = z
  .strictObject({ service: slug, recipientKey: bytes(32) })
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
