import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { AUDIENCES } from '#contracts';

/** An issuer of access tokens with a real JWKS endpoint. */
export interface TestIssuer {
  url: string;
  jwksUrl: string;
  /** The token of a person; `services` only for one who is limited to some. */
  person: (sub: string, claims?: object) => Promise<string>;
  /** The token of a service account for the key service; `exp` in seconds since 1970, in ten minutes unless it is given. */
  service: (slug: string, scope?: string, exp?: number) => Promise<string>;
  stop: () => Promise<void>;
}

/** Starts an issuer that signs with ES256. */
export async function startIssuer(): Promise<TestIssuer> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sign = (claims: { exp?: number; [name: string]: unknown }) =>
    new SignJWT({ jti: 'j1', sid: 's1', ...claims })
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'k1' })
      .setIssuer(url)
      .setIssuedAt()
      .setExpirationTime(claims.exp ?? '10m')
      .sign(privateKey);
  return {
    url,
    jwksUrl: `${url}/.well-known/jwks.json`,
    person: (sub, claims = {}) => sign({ sub, aud: AUDIENCES, roles: ['admin'], ...claims }),
    service: (slug, scope = 'keys:provision', exp) =>
      sign({ sub: slug, client_id: slug, aud: ['key-service'], scope, ...(exp && { exp }) }),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
