import { z } from 'zod';

/**
 * Hashes that a platform may have kept of its keys: four that are looked up by, and four that have a salt. `keyward-local` is what
 * a service keeps that manages its own keys with Keyward, and what an export holds: HMAC-SHA-256 of SHA-256 of the text.
 */
export const LEGACY_ALGORITHMS = [
  'sha256',
  'sha512',
  'hmac-sha256',
  'keyward-local',
  'bcrypt',
  'argon2id',
  'scrypt',
  'pbkdf2',
] as const;
export const legacyAlgorithm = z.enum(LEGACY_ALGORITHMS);
export type LegacyAlgorithm = z.infer<typeof legacyAlgorithm>;

/** Longest text of a hash, in characters. */
export const MAX_LEGACY_HASH_CHARACTERS = 512;

/** Longest text of a key that was made elsewhere, in characters. */
export const MAX_LEGACY_KEY_CHARACTERS = 512;

/** Visible ASCII that stands in a key. */
const piece = z.string().regex(/^[\x21-\x7e]{1,64}$/, 'Use 1 to 64 visible ASCII characters');

/** Which part of a presented key was hashed. */
export const legacySegment = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('whole') }),
  /** What follows the `count`-th separator. */
  z.strictObject({
    kind: z.literal('after'),
    separator: piece.max(8),
    count: z.int().min(1).max(8),
  }),
  /** All but a prefix that every key begins with. */
  z.strictObject({ kind: z.literal('without'), prefix: piece }),
]);

/** Where a presented key says which one it is: one of its parts, counted from 0, or its first characters. */
export const legacyLocator = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('part'),
    separator: piece.max(8),
    index: z.int().min(0).max(8),
  }),
  z.strictObject({ kind: z.literal('start'), length: z.int().min(4).max(64) }),
]);

/** What every key of an import looks like; a text unlike it is refused without any hash or look-up. */
export const legacyShape = z
  .strictObject({
    prefix: piece.optional(),
    minLength: z.int().min(8).max(MAX_LEGACY_KEY_CHARACTERS).default(8),
    maxLength: z.int().min(8).max(MAX_LEGACY_KEY_CHARACTERS).default(MAX_LEGACY_KEY_CHARACTERS),
  })
  .refine((shape) => shape.minLength <= shape.maxLength, {
    path: ['maxLength'],
    error: 'Use at least minLength',
  });

const SALTED: readonly string[] = ['bcrypt', 'argon2id', 'scrypt', 'pbkdf2'];

/**
 * How keys were hashed where they come from. `encoding` is that of SHA and HMAC digests; the salted ones are written as PHC or
 * modular crypt strings. `key` is the secret of an HMAC in base64, `context` a text that was put before what it hashed.
 * `preHashed` says that bcrypt, which reads 72 bytes only, was given a digest of the key instead of the key.
 */
export const legacyScheme = z
  .strictObject({
    algorithm: legacyAlgorithm,
    encoding: z.enum(['hex', 'base64', 'base64url']).default('hex'),
    key: z
      .base64()
      .refine((text) => Buffer.from(text, 'base64').length >= 16, 'Use 16 bytes or more')
      .max(344)
      .optional(),
    context: z
      .string()
      .max(64)
      .regex(/^[\x21-\x7e]*$/, 'Use visible ASCII characters')
      .optional(),
    preHashed: z.enum(['sha256-hex', 'sha256-base64', 'sha512-hex', 'sha512-base64']).optional(),
    segment: legacySegment.default({ kind: 'whole' }),
    locator: legacyLocator.optional(),
    shape: legacyShape.prefault({}),
  })
  .superRefine(({ algorithm, key, context, preHashed, locator }, ctx) => {
    const fault = (path: string, message: string) =>
      ctx.addIssue({ code: 'custom', path: [path], message });
    const isHmac = algorithm === 'hmac-sha256';
    const isKeyed = isHmac || algorithm === 'keyward-local';
    if (isKeyed !== (key !== undefined))
      fault('key', 'An HMAC needs its key, and nothing else does');
    if (context !== undefined && !isHmac) fault('context', 'Only an HMAC has a context');
    if (preHashed !== undefined && algorithm !== 'bcrypt')
      fault('preHashed', 'Only bcrypt is given digests');
    if (SALTED.includes(algorithm) !== (locator !== undefined))
      fault('locator', 'A salted hash needs a locator, and nothing else does');
  })
  .meta({ id: 'LegacyScheme' });
export type LegacyScheme = z.infer<typeof legacyScheme>;
