import { hash } from 'node:crypto';
import { errors, jwtVerify, type CryptoKey, type JWTHeaderParameters } from 'jose';
import { claims as claimsSchema, type Claims } from '#contracts';
import { fetchKeys } from './fetch-keys.js';
import { KeySet, type PinnedAlgorithm } from './key-set.js';
import { TokenError } from './token-error.js';

export type { PinnedAlgorithm } from './key-set.js';

/** Whose tokens are accepted, for whom, and where the keys are. */
export interface TokenVerifierOptions {
  issuer: string;
  /** Must be one of the token's audiences. */
  audience: string;
  /** Address of the issuer's JSON Web Key Set, or a function that has it without HTTP. */
  jwksUrl: string | (() => Promise<unknown>);
  /** The one algorithm that is accepted; ES256 by default. */
  algorithm?: PinnedAlgorithm;
  /** Milliseconds since 1970; the clock by default. */
  now?: () => number;
}

/** Says whose a token is. */
export interface TokenVerifier {
  /**
   * The claims of an access token that is good now: `typ` at+jwt, signed with the pinned algorithm by a key of the issuer,
   * `iss`, `aud`, `exp`, `nbf` and `iat` right within 30 s. Good tokens are remembered by digest until they expire or their
   * key goes.
   *
   * @throws TokenError when the token is refused
   * @throws KeysUnavailable (`isUnavailable`) when no keys can be had to decide
   */
  verify(token: string): Promise<Claims>;
}

const MAX_CHARACTERS = 8 * 1024;
const MAX_REMEMBERED = 10_000;
const SKEW_SECONDS = 30;
const NOT_COMPACT = 'Not a compact JWT of at most 8 KiB';
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

interface Remembered {
  claims: Claims;
  kid: string;
  key: CryptoKey;
}

/** A verifier with its own copy of the issuer's keys; make one per process and audience. */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { jwksUrl, algorithm = 'ES256', now = Date.now } = options;
  const load = typeof jwksUrl === 'string' ? () => fetchKeys(jwksUrl) : jwksUrl;
  const keys = new KeySet(algorithm, load, now);
  const remembered = new Map<string, Remembered>();

  return {
    async verify(token) {
      if (token.length > MAX_CHARACTERS) throw new TokenError(NOT_COMPACT);
      const digest = hash('sha256', token, 'base64');
      const before = remembered.get(digest);
      if (before && isStillGood(before, keys, now())) return before.claims;
      remembered.delete(digest);
      if (!COMPACT.test(token)) throw new TokenError(NOT_COMPACT);
      const result = await check(token, { ...options, algorithm, keys, nowMs: now() });
      if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value!);
      remembered.set(digest, result);
      return result.claims;
    },
  };
}

function isStillGood({ claims, kid, key }: Remembered, keys: KeySet, nowMs: number): boolean {
  return claims.exp + SKEW_SECONDS > nowMs / 1_000 && keys.find(kid) === key;
}

async function check(
  token: string,
  by: {
    issuer: string;
    audience: string;
    algorithm: PinnedAlgorithm;
    keys: KeySet;
    nowMs: number;
  },
): Promise<Remembered> {
  const keyOf = async (header?: JWTHeaderParameters) => {
    const { typ, kid } = header ?? {};
    if (typeof typ !== 'string' || !/^(?:application\/)?at\+jwt$/i.test(typ))
      throw new TokenError('Not an access token');
    if (typeof kid !== 'string' || kid.length > 128) throw new TokenError('Names no key');
    const key = await by.keys.get(kid);
    if (!key) throw new TokenError('Signed with a key that the issuer does not publish');
    return key;
  };
  try {
    const { payload, protectedHeader, key } = await jwtVerify(token, keyOf, {
      algorithms: [by.algorithm],
      issuer: by.issuer,
      audience: by.audience,
      typ: 'at+jwt',
      clockTolerance: SKEW_SECONDS,
      currentDate: new Date(by.nowMs),
      requiredClaims: ['iss', 'aud', 'sub', 'iat', 'exp', 'jti'],
    });
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) throw new TokenError('A claim is not what it should be');
    if (claims.data.iat > by.nowMs / 1_000 + SKEW_SECONDS)
      throw new TokenError('Issued in the future');
    return { claims: claims.data, kid: protectedHeader.kid!, key };
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError)
      throw new TokenError(error.message, { cause: error });
    throw error;
  }
}
