import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

/** A token issuer of a test, with a real JWKS endpoint whose answers can be changed. */
export interface Issuer {
  name: string;
  jwksUrl: string;
  jwk: JWK;
  privateKey: CryptoKey;
  /** How often the keys were asked for. */
  readonly fetches: number;
  /** Answers from now on with this instead of the keys. */
  answer: (respond: (response: ServerResponse) => void) => void;
  /** Answers with these keys from now on. */
  publish: (keys: JWK[]) => void;
  /** A good token, with `claims` instead of its own; undefined takes one away. */
  token: (claims?: object, header?: object, key?: CryptoKey) => Promise<string>;
  close: () => Promise<void>;
}

export async function createIssuer(): Promise<Issuer> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
  let fetches = 0;
  const json = (keys: JWK[]) => (response: ServerResponse) =>
    void response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  let respond = json([jwk]);
  const server = createServer((_request, response) => {
    fetches += 1;
    respond(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const name = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    name,
    jwksUrl: `${name}/.well-known/jwks.json`,
    jwk,
    privateKey,
    get fetches() {
      return fetches;
    },
    answer: (next) => {
      respond = next as typeof respond;
    },
    publish: (keys) => {
      respond = json(keys);
    },
    token: (claims = {}, header = {}, key = privateKey) => sign(name, claims, header, key),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function sign(name: string, claims: object, header: object, key: CryptoKey): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  const payload = {
    iss: name,
    aud: ['login', 'service-a'],
    sub: 'usr_1',
    jti: 'j1',
    iat: now,
    exp: now + 600,
    roles: [],
    ...claims,
  };
  return new SignJWT(JSON.parse(JSON.stringify(payload)) as Record<string, unknown>)
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt', ...header })
    .sign(key);
}
