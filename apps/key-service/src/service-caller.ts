import type { FastifyRequest } from 'fastify';
import { scopesOf, type Claims, type ErrorCode } from '#contracts';
import { bearerToken, KeysUnavailable, type TokenVerifier } from '#jwt-guard';
import { ProblemException } from '#server';

/**
 * The service that calls a route outside Nest: a service account with the scope `keys:verify`, whose `sub` is its slug. At once
 * where its token was seen lately.
 *
 * @throws ProblemException (or rejects with it) UNAUTHENTICATED, INVALID_TOKEN, FORBIDDEN, or SERVICE_UNAVAILABLE where tokens
 *   cannot be checked
 */
export function serviceCaller(
  request: FastifyRequest,
  tokens: TokenVerifier,
): Claims | Promise<Claims> {
  const token = bearerToken(request);
  if (token === null)
    throw refused('UNAUTHENTICATED', "Send the service's access token as a bearer token");
  const claims = tokens.recall(token);
  return claims === null ? claimsOf(token, tokens).then(ofService) : ofService(claims);
}

function ofService(claims: Claims): Claims {
  if (claims.client_id !== undefined && scopesOf(claims).includes('keys:verify')) return claims;
  throw new ProblemException(
    'FORBIDDEN',
    'Only a service account with the scope keys:verify may do this',
  );
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
