import { hash } from 'node:crypto';
import { errors, jwtVerify, type JWTHeaderParameters } from 'jose';
import { claims as claimsSchema, type Claims } from '#contracts';
import { fetchKeys } from './fetch-keys.js';
import { KeySet } from './key-set.js';
import { sharedSecret, type KeySource, type VerifyingKey } from './key-source.js';
import { checkOptions, type CheckedOptions, type TokenVerifierOptions } from './options.js';
import { TokenError } from './token-error.js';

/** Says whose a token is. */
export interface TokenVerifier {
  /**
   * The claims of an access token that is good now: `typ` at+jwt, signed in the pinned family by a key of the issuer,
   * `iss`, `aud`, `exp`, `nbf` and `iat` right within the clock skew. Good tokens are remembered by digest until they expire or their
   * key goes.
   *
   * @throws TokenError when the token is refused
   * @throws KeysUnavailable (`isUnavailable`) when no keys can be had to decide
   */
  verify(token: string): Promise<Claims>;
}

const MAX_CHARACTERS = 8 * 1024;
const MAX_REMEMBERED = 10_000;
const NOT_COMPACT = 'Not a compact JWT of at most 8 KiB';
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

interface Remembered {
  claims: Claims;
  kid: unknown;
  key: VerifyingKey;
}

/**
 * A verifier with its own copy of the issuer's keys; make one per process and audience.
 *
 * @throws Error at once, naming each option that is missing, wrong or unknown
 */
export function createTokenVerifier(given: TokenVerifierOptions): TokenVerifier {
  const options = checkOptions(given);
  const { now, clockSkewSeconds } = options;
  const keys = keySourceOf(options);
  const remembered = new Map<string, Remembered>();
  const isStillGood = ({ claims, kid, key }: Remembered) =>
    claims.exp + clockSkewSeconds > now() / 1_000 && keys.find(kid) === key;

  return {
    async verify(token) {
      if (token.length > MAX_CHARACTERS) throw new TokenError(NOT_COMPACT);
      const digest = hash('sha256', token, 'base64');
      const before = remembered.get(digest);
      if (before && isStillGood(before)) return before.claims;
      remembered.delete(digest);
      if (!COMPACT.test(token)) throw new TokenError(NOT_COMPACT);
      const result = await check(token, options, keys);
      if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value!);
      remembered.set(digest, result);
      return result.claims;
    },
  };
}

function keySourceOf(options: CheckedOptions): KeySource {
  if (options.algorithm === 'HS256') return sharedSecret(options.secret);
  const { algorithm, jwksUrl, now } = options;
  return new KeySet(
    algorithm,
    typeof jwksUrl === 'string' ? () => fetchKeys(jwksUrl) : jwksUrl,
    now,
  );
}

async function check(token: string, options: CheckedOptions, keys: KeySource): Promise<Remembered> {
  const { algorithm, issuer, audience, clockSkewSeconds } = options;
  const nowMs = options.now();
  const keyOf = async ({ typ, kid }: JWTHeaderParameters) => {
    if (typeof typ !== 'string' || !/^(?:application\/)?at\+jwt$/i.test(typ))
      throw new TokenError('Not an access token');
    return keys.get(kid);
  };
  try {
    const { payload, protectedHeader, key } = await jwtVerify<VerifyingKey>(token, keyOf, {
      algorithms: [algorithm],
      issuer,
      audience,
      typ: 'at+jwt',
      clockTolerance: clockSkewSeconds,
      currentDate: new Date(nowMs),
      requiredClaims: ['iss', 'aud', 'sub', 'iat', 'exp', 'jti'],
    });
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) throw new TokenError('A claim is not what it should be');
    if (claims.data.iat > nowMs / 1_000 + clockSkewSeconds)
      throw new TokenError('Issued in the future');
    return { claims: claims.data, kid: protectedHeader.kid, key };
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError)
      throw new TokenError(error.message, { cause: error });
    throw error;
  }
}
