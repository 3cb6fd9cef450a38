import { importJWK, jwtVerify, type JWK, type JWTPayload } from 'jose';
import type { DataSource } from 'typeorm';
import { isCompactJwt, type ClientKeys } from '#contracts';

const ALGORITHMS = { EC: 'ES256', OKP: 'EdDSA', RSA: 'RS256' } as const;
const SKEW_SECONDS = 30;
/** A longer life would be a longer time to remember what was used. */
const MAX_LIFE_SECONDS = 300;

/** What an assertion is judged by. */
export interface AssertionRules {
  clientId: string;
  keys: ClientKeys;
  /** Login, as its issuer name or its token endpoint; an assertion is for one of them alone. */
  audiences: string[];
}

/** An assertion that is good but for whether it was used before. */
export interface GoodAssertion {
  jti: string;
  /** From when on it need not be remembered. */
  expiresAt: Date;
}

/**
 * Checks an assertion of a client (RFC 7523, section 3): signed with a registered key in that key's own algorithm, by and
 * about the client, for login alone, with an end at most 5 minutes away and a `jti`.
 *
 * @returns null where it is not good, whatever is wrong with it
 */
export async function goodAssertion(
  assertion: string,
  rules: AssertionRules,
): Promise<GoodAssertion | null> {
  if (!isCompactJwt(assertion)) return null;
  try {
    const { payload } = await jwtVerify(assertion, keyOf(rules.keys), {
      algorithms: Object.values(ALGORITHMS),
      issuer: rules.clientId,
      subject: rules.clientId,
      audience: rules.audiences,
      clockTolerance: SKEW_SECONDS,
      requiredClaims: ['iss', 'sub', 'aud', 'exp', 'jti'],
    });
    return isBounded(payload)
      ? {
          jti: payload.jti!,
          expiresAt: new Date((payload.exp! + SKEW_SECONDS) * 1_000),
        }
      : null;
  } catch {
    return null;
  }
}

/** Notes that an assertion is used. @returns false where it was used before */
export async function spendAssertion(
  db: DataSource,
  clientId: string,
  { jti, expiresAt }: GoodAssertion,
): Promise<boolean> {
  const noted = await db.query<unknown[]>(
    `INSERT INTO login.client_assertion (client_id, jti, expires_at) VALUES ($1, $2, $3)
     ON CONFLICT DO NOTHING RETURNING jti`,
    [clientId, jti, expiresAt],
  );
  return noted.length === 1;
}

/** The algorithm is the key's, not the header's. */
function keyOf({ keys }: ClientKeys) {
  return async ({ kid, alg }: { kid?: string; alg?: string }) => {
    const key = keys.find((one) => one.kid === kid);
    if (key === undefined || ALGORITHMS[key.kty] !== alg) throw new Error('No such key');
    return importJWK(key as JWK, alg);
  };
}

function isBounded({ aud, exp, iat, jti }: JWTPayload): boolean {
  const now = Date.now() / 1_000;
  return (
    (typeof aud === 'string' || aud?.length === 1) &&
    exp! <= now + MAX_LIFE_SECONDS + SKEW_SECONDS &&
    (iat === undefined || iat <= now + SKEW_SECONDS) &&
    typeof jti === 'string' &&
    /^[\x21-\x7e]{1,128}$/.test(jti)
  );
}
