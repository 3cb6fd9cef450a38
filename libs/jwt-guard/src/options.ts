import { z } from 'zod';

/** Families with a key pair, whose public keys the issuer publishes. */
export const PUBLISHED_FAMILIES = ['ES256', 'RS256', 'EdDSA'] as const;
export type PublishedFamily = (typeof PUBLISHED_FAMILIES)[number];

/** Families a verifier can be pinned to: one, and nothing else is accepted. */
export type PinnedAlgorithm = PublishedFamily | 'HS256';

/** Whose tokens are accepted, for whom, and with which keys. */
export type TokenVerifierOptions = CommonOptions & (PublishedKeys | SharedSecret);

interface CommonOptions {
  /** `iss` of good tokens, to the letter. */
  issuer: string;
  /** Must be one of the token's audiences. */
  audience: string;
  /** By how much the issuer's clock may differ from this one, in seconds; 0 to 300, 30 by default. */
  clockSkewSeconds?: number | undefined;
  /** Milliseconds since 1970; the clock by default. */
  now?: (() => number) | undefined;
  /** Milliseconds of a clock that nobody sets, for the age of the issuer's keys; `performance.now` by default. */
  monotonicNow?: (() => number) | undefined;
}

interface PublishedKeys {
  /** The one family that is accepted; ES256 by default. */
  algorithm?: PublishedFamily | undefined;
  /** Address of the issuer's JSON Web Key Set, or a function that has it without HTTP. */
  jwksUrl: string | (() => Promise<unknown>);
}

interface SharedSecret {
  algorithm: 'HS256';
  /** Bytes, or text that stands for its UTF-8 bytes: at least 32, random. Who can verify with it can also sign. */
  secret: string | Uint8Array;
}

/** {@link TokenVerifierOptions}, checked and complete. */
export type CheckedOptions = z.output<typeof checkedOptions>;

const common = {
  issuer: z.string().min(1),
  audience: z.string().min(1),
  clockSkewSeconds: z.number().min(0).max(300).default(30),
  now: z.custom<() => number>(isFunction, 'must be a function').default(() => Date.now),
  monotonicNow: z
    .custom<() => number>(isFunction, 'must be a function')
    .default(() => () => performance.now()),
};

const checkedOptions = z.discriminatedUnion(
  'algorithm',
  [
    z.strictObject({
      ...common,
      algorithm: z.enum(PUBLISHED_FAMILIES),
      jwksUrl: z.union(
        [z.url({ protocol: /^https?$/ }), z.custom<() => Promise<unknown>>(isFunction)],
        'must be an http or https URL, or a function',
      ),
    }),
    z.strictObject({
      ...common,
      algorithm: z.literal('HS256'),
      secret: z
        .union([z.string(), z.instanceof(Uint8Array)], 'must be text or bytes')
        .transform((secret) => (typeof secret === 'string' ? Buffer.from(secret) : secret))
        .superRefine((secret, context) => {
          const message = faultOfSecret(secret);
          if (message !== null) context.addIssue({ code: 'custom', message });
        }),
    }),
  ],
  'must be one of ES256, RS256, EdDSA and HS256',
);

/** @throws Error naming each option that is missing, wrong or unknown, and no value */
export function checkOptions(options: TokenVerifierOptions): CheckedOptions {
  const result = checkedOptions.safeParse({ ...options, algorithm: options.algorithm ?? 'ES256' });
  if (result.success) return result.data;
  throw new Error(
    `Options of the JWT guard are wrong: ${result.error.issues.map(faultOf).join('; ')}`,
  );
}

function faultOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') return `${issue.keys.join(', ')}: not known, or not here`;
  return `${issue.path.join('.')}: ${issue.message}`;
}

/** What is published may not be a secret: with it, anybody could sign. */
function faultOfSecret(secret: Uint8Array): string | null {
  if (secret.length < 32) return 'must be at least 32 bytes (openssl rand -base64 32)';
  if (new Set(secret).size < 8) return 'must be random (openssl rand -base64 32)';
  const text = Buffer.from(secret).toString('latin1').trimStart();
  const isKey = /^-----BEGIN |^ssh-|^\{[^]*"kty"/.test(text);
  return isKey ? 'must be a secret, not a public key or certificate' : null;
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function';
}
