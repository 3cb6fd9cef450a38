import { scopesOf, type Claims, type ErrorCode } from '#contracts';
import { bearerToken, KeysUnavailable, type TokenVerifier } from '#jwt-guard';
import { ProblemException } from '#server';

/** A request, of Node or of Fastify. */
type Headed = Parameters<typeof bearerToken>[0];

/**
 * The service that calls a route outside Nest: a service account with the scope `keys:verify`, whose `sub` is its slug. At once
 * where its token was seen lately.
 *
 * @throws ProblemException (or rejects with it) UNAUTHENTICATED, INVALID_TOKEN, FORBIDDEN, or SERVICE_UNAVAILABLE where tokens
 *   cannot be checked
 */
export function serviceCaller(request: Headed, tokens: TokenVerifier): Claims | Promise<Claims> {
  const token = bearerToken(request);
  if (token === null)
    throw refused('UNAUTHENTICATED', "Send the service's access token as a bearer token");
  const claims = tokens.recall(token);
  return claims === null ? claimsOf(token, tokens).then(ofService) : ofService(claims);
}

/** The same from memory alone; null where {@link serviceCaller} has to find out, or to say what is wrong. */
export function knownServiceCaller(request: Headed, tokens: TokenVerifier): Claims | null {
  const token = bearerToken(request);
  const claims = token === null ? null : tokens.recall(token);
  return claims !== null && isOfService(claims) ? claims : null;
}

function ofService(claims: Claims): Claims {
  if (isOfService(claims)) return claims;
  throw new ProblemException(
    'FORBIDDEN',
    'Only a service account with the scope keys:verify may do this',
  );
}

function isOfService(claims: Claims): boolean {
  return claims.client_id !== undefined && scopesOf(claims).includes('keys:verify');
}

async function claimsOf(token: string, tokens: TokenVerifier): Promise<Claims> {
  try {
    return await tokens.verify(token);
  } catch (cause) {
    if (!(cause instanceof KeysUnavailable)) {
      throw refused('INVALID_TOKEN', 'Get a new access token for the audience key-service', cause);
    }
    const headers = { 'retry-after': '1' };
    throw new ProblemException('SERVICE_UNAVAILABLE', 'Tokens cannot be checked at present', {
      headers,
      cause,
    });
  }
}

function refused(code: ErrorCode, detail: string, cause?: unknown): ProblemException {
  const challenge = code === 'INVALID_TOKEN' ? 'Bearer error="invalid_token"' : 'Bearer';
  return new ProblemException(code, detail, { headers: { 'www-authenticate': challenge }, cause });
}
