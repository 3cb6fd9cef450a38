import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { Claims } from '#contracts';
import { sendJson, type Respond } from './stub-server.js';

/** Signs access tokens as login does. */
export interface TokenIssuer {
  /** Answer of the JWKS endpoint. */
  jwks: Respond;
  /** A token for all apps; `claims` may say otherwise. */
  token: (issuer: string, claims?: Partial<Claims>) => Promise<string>;
}

/** An issuer with a key of its own. */
export async function createTokenIssuer(): Promise<TokenIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
  return {
    jwks: (_seen, response) => sendJson(response, 200, { keys: [jwk] }),
    token: (issuer, claims = {}) =>
      new SignJWT({ roles: ['user'], sub: 'usr_1', jti: 'j1', ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
        .setIssuer(issuer)
        .setAudience(claims.aud ?? ['login', 'key-service', 'service-a', 'service-b'])
        .setIssuedAt()
        .setExpirationTime('10m')
        .sign(privateKey),
  };
}
