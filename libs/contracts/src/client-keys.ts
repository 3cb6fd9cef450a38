import { z } from 'zod';

const common = {
  kid: z.string().regex(/^[\x21-\x7e]{1,128}$/, 'Use 1 to 128 visible ASCII characters'),
  use: z.literal('sig').optional(),
};
const base64url = (least: number, most: number) =>
  z.string().regex(new RegExp(`^[A-Za-z0-9_-]{${least},${most}}$`), 'Use base64url');

/** A public key; a private member is an unknown property and refused. RSA has 2,048 bits or more. */
const publicKey = z.discriminatedUnion('kty', [
  z.strictObject({
    ...common,
    kty: z.literal('EC'),
    alg: z.literal('ES256').optional(),
    crv: z.literal('P-256'),
    x: base64url(43, 43),
    y: base64url(43, 43),
  }),
  z.strictObject({
    ...common,
    kty: z.literal('OKP'),
    alg: z.enum(['EdDSA', 'Ed25519']).optional(),
    crv: z.literal('Ed25519'),
    x: base64url(43, 43),
  }),
  z.strictObject({
    ...common,
    kty: z.literal('RSA'),
    alg: z.literal('RS256').optional(),
    n: base64url(342, 1_366),
    e: base64url(1, 8),
  }),
]);

/** Public keys of a service account (RFC 7517), for `private_key_jwt`; two while they are being rolled over. */
export const clientKeys = z
  .strictObject({ keys: z.array(publicKey).min(1).max(5) })
  .refine(
    ({ keys }) => new Set(keys.map((key) => key.kid)).size === keys.length,
    'Give each key a kid of its own',
  )
  .meta({ id: 'ClientKeys' });
export type ClientKeys = z.infer<typeof clientKeys>;

/** `client_assertion_type` of a JWT that a client has signed (RFC 7523, section 2.2). */
export const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
