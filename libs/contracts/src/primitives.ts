import { z } from 'zod';
import { holdsSecret } from './mask.js';

/** Name of a service or consumer: 1 to 63 of `a-z`, `0-9`, `-`. */
export const slug = z
  .string()
  .regex(/^[a-z0-9-]{1,63}$/, 'Use 1 to 63 lower-case letters, digits or hyphens')
  .meta({ id: 'Slug', examples: ['service-a'] });

/**
 * A right, `resource:action`; `resource:*` stands for every action of the resource. At most 128 characters.
 * The optional last `:*` is the only wildcard there is.
 */
export const scope = z
  .string()
  .max(128)
  .regex(
    /^[a-z0-9-]+(:[a-z0-9-]+)*(:\*)?$/,
    'Use words of lower-case letters, digits or hyphens joined by colons; the last may be *',
  )
  .meta({ id: 'Scope', examples: ['reports:read'] });

/** Scopes of one grant or one request: at most 50, each once. */
export const scopes = z
  .array(scope, {
    error: ({ code, input }) =>
      code === 'invalid_type' && input !== undefined
        ? 'Use a list of scopes such as ["reports:read"]'
        : undefined,
  })
  .max(50)
  .refine((list) => new Set(list).size === list.length, 'Name each scope once');

/** What to do where {@link holdsNoSecret} fails. */
export const NO_SECRET =
  'Leave out keys, tokens and secrets; treat the one that was sent as leaked';
/** Whether a text may be kept: it holds no key, token or client secret. */
export const holdsNoSecret = (text: string): boolean => !holdsSecret(text);

/** A name as it may be kept already: 1 to 128 characters, none of them a control character. What is sent is a {@link displayName}. */
export const keptName = z
  .string()
  .min(1)
  .regex(/^.{0,128}$/su, 'Use at most 128 characters')
  .regex(/^[^\p{Cc}\p{Zl}\p{Zp}]+$/u, 'Leave out control characters and line breaks')
  .regex(/\S/u, 'Use at least one visible character')
  .refine(holdsNoSecret, NO_SECRET);

/**
 * What a person reads: 1 to 128 characters, one of them visible, none of them a control character, nor one that makes the text around it
 * look like another (U+202E and its kin) or hides text in it: tags and variants (U+E0000 to U+E01EF), but for one
 * variant of an ideograph, and signs that nobody sees (U+2061 to U+2064). What joins or parts letters (U+200C, U+200D) is part of words
 * and of emoji.
 */
export const displayName = z
  .string()
  .min(1)
  .regex(/^.{0,128}$/su, 'Use at most 128 characters')
  .regex(
    /^(?:\p{Ideographic}[\u{E0100}-\u{E01EF}]|[^\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2061-\u2069\u{E0000}-\u{E01EF}])+$/u,
    'Leave out control characters, those that turn the direction of text or hide text in it, and line breaks',
  )
  .regex(/[^\s\u2800\p{Default_Ignorable_Code_Point}]/u, 'Use at least one visible character')
  .refine(holdsNoSecret, NO_SECRET);

/** A longer remark: at most 1,000 characters, line breaks allowed, what else a {@link displayName} may not hold is not. */
export const remark = z
  .string()
  .max(1_000)
  .regex(
    /^(?:[\n\t]|\p{Ideographic}[\u{E0100}-\u{E01EF}]|[^\p{Cc}\u202A-\u202E\u2061-\u2069\u{E0000}-\u{E01EF}])*$/u,
    'Leave out control characters, also those that turn the direction of text or hide text in it',
  )
  .refine(holdsNoSecret, NO_SECRET);

/** RFC 3339 date-time with `Z` or an offset, of any year; a `t` or `z` (RFC 3339, section 5.6) becomes upper case. */
export const anyInstant = z
  .string()
  .toUpperCase()
  .check(
    z.iso.datetime({
      offset: true,
      error: 'Use an RFC 3339 time such as 2027-01-31T12:00:00Z',
      abort: true,
    }),
  );

/** {@link anyInstant} of the years 2000 to 2200. */
export const instant = anyInstant.refine((text) => {
  const year = new Date(text).getUTCFullYear();
  return year >= 2000 && year <= 2200;
}, 'Use a year from 2000 to 2200');

/** RFC 3339 UTC time as the platform writes it. */
export const instantOut = z.iso.datetime();

/** Free key-value data of the caller's own: at most 8 KiB as JSON. */
export const metadata = z
  .record(z.string().min(1).max(128), z.json(), {
    error: ({ code }) => (code === 'invalid_key' ? 'Use names of 1 to 128 characters' : undefined),
  })
  .refine(
    (value) => Buffer.byteLength(JSON.stringify(value)) <= 8 * 1024,
    'Keep metadata within 8 KiB',
  )
  .refine((value) => holdsNoSecret(JSON.stringify(value)), NO_SECRET)
  .meta({ id: 'Metadata', examples: [{ team: 'billing' }] });

/** {@link metadata} as it is sent: whole numbers that would be rounded are refused. */
export const newMetadata = metadata.refine(
  isExact,
  'Send whole numbers beyond 9007199254740991 as text',
);

function isExact(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(isExact);
}

const tagsLike = (label: RegExp) =>
  z
    .array(
      z
        .string()
        .regex(label, 'Use 1 to 64 letters, digits or . _ : / -')
        .refine(holdsNoSecret, NO_SECRET),
    )
    .max(20)
    .refine((list) => new Set(list).size === list.length, 'Name each tag once')
    .meta({ examples: [['billing']] });

/** Tags as they may be kept already: letters that nobody sees are letters. What is sent are {@link tags}. */
export const keptTags = tagsLike(/^[\p{L}\p{N}._:/-]{1,64}$/u);

/** At most 20 labels of 1 to 64 characters, each once. */
export const tags = tagsLike(/^(?:(?!\p{Default_Ignorable_Code_Point})[\p{L}\p{N}._:/-]){1,64}$/u);

/** Page size and place of a list: `limit` 1 to 200, 50 by default; `cursor` as the last page gave it. */
export const page = {
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/, 'Use a whole number from 1 to 200')
    .transform(Number)
    .pipe(z.int().min(1).max(200, 'Use a whole number from 1 to 200'))
    .default(50),
  cursor: z.string().min(1).max(1_024).optional(),
};

/** A page of a list; `nextCursor` is null on the last one. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ data: z.array(item), nextCursor: z.string().nullable() });
