import { hash } from 'node:crypto';
import { errors, jwtVerify, type JWTHeaderParameters } from 'jose';
import { claims as claimsSchema, isCompactJwt, type Claims } from '#contracts';
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
  /**
   * The same at once, by one look-up, where this very token was among the last that {@link TokenVerifier.verify} let pass and
   * still is good; null says nothing of it. For a route that sees the same few tokens all the time.
   */
  recall(token: string): Claims | null;
}

const MAX_CHARACTERS = 8 * 1024;
const MAX_REMEMBERED = 10_000;
/** Few, as these are kept whole. */
const MAX_RECENT = 256;
const NOT_COMPACT = 'Not a compact JWT of at most 8 KiB';

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

  const recent = new Map<string, Remembered>();
  const keep = (token: string, digest: string, good: Remembered): Claims => {
    put(remembered, { name: digest, good, most: MAX_REMEMBERED });
    put(recent, { name: token, good, most: MAX_RECENT });
    return good.claims;
  };

  return {
    recall(token) {
      const before = recent.get(token);
      if (before === undefined) return null;
      if (isStillGood(before)) return before.claims;
      recent.delete(token);
      return null;
    },

    async verify(token) {
      if (token.length > MAX_CHARACTERS) throw new TokenError(NOT_COMPACT);
      const digest = hash('sha256', token, 'base64');
      const before = remembered.get(digest);
      if (before && isStillGood(before)) return keep(token, digest, before);
      remembered.delete(digest);
      if (!isCompactJwt(token)) throw new TokenError(NOT_COMPACT);
      return keep(token, digest, await check(token, options, keys));
    },
  };
}

/** The oldest goes where there are more than `most`. */
function put(
  map: Map<string, Remembered>,
  { name, good, most }: { name: string; good: Remembered; most: number },
): void {
  map.set(name, good);
  if (map.size > most) map.delete(map.keys().next().value!);
}

function keySourceOf(options: CheckedOptions): KeySource {
  if (options.algorithm === 'HS256') return sharedSecret(options.secret);
  const { algorithm, jwksUrl, monotonicNow } = options;
  return new KeySet(
    algorithm,
    typeof jwksUrl === 'string' ? () => fetchKeys(jwksUrl) : jwksUrl,
    monotonicNow,
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
