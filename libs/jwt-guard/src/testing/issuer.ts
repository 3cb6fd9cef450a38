import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';
import type { PinnedAlgorithm, TokenVerifierOptions } from '../options.js';

/** A token issuer of a test, with a real JWKS endpoint whose answers can be changed. */
export interface Issuer {
  name: string;
  jwksUrl: string;
  /** What a verifier at service-a is told to take its tokens. */
  options: TokenVerifierOptions;
  /** What it publishes; empty for HS256. */
  jwk: JWK;
  privateKey: CryptoKey | Uint8Array;
  /** How often the keys were asked for. */
  readonly fetches: number;
  /** Answers from now on with this instead of the keys. */
  answer: (respond: (response: ServerResponse) => void) => void;
  /** Answers with these keys from now on. */
  publish: (keys: JWK[]) => void;
  /** A good token, with `claims` instead of its own; undefined takes one away. */
  token: (claims?: object, header?: object, key?: CryptoKey | Uint8Array) => Promise<string>;
  close: () => Promise<void>;
}

/** An issuer that signs in this family. */
export async function createIssuer(algorithm: PinnedAlgorithm = 'ES256'): Promise<Issuer> {
  const { privateKey, jwk } = await newKey(algorithm);
  let fetches = 0;
  const json = (keys: JWK[]) => (response: ServerResponse) =>
    void response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  let respond = json(algorithm === 'HS256' ? [] : [jwk]);
  const server = createServer((_request, response) => {
    fetches += 1;
    respond(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const name = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const jwksUrl = `${name}/.well-known/jwks.json`;
  return {
    name,
    jwksUrl,
    options: { issuer: name, audience: 'service-a', ...keysOf(algorithm, jwksUrl, privateKey) },
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
    token: (claims = {}, header = {}, key = privateKey) =>
      sign(name, claims, { alg: algorithm, ...header }, key),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function keysOf(algorithm: PinnedAlgorithm, jwksUrl: string, key: CryptoKey | Uint8Array) {
  return algorithm === 'HS256' ? { algorithm, secret: key as Uint8Array } : { algorithm, jwksUrl };
}

async function newKey(
  algorithm: PinnedAlgorithm,
): Promise<{ privateKey: CryptoKey | Uint8Array; jwk: JWK }> {
  if (algorithm === 'HS256') return { privateKey: randomBytes(32), jwk: {} };
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk: JWK = { ...(await exportJWK(publicKey)), kid: 'k1', alg: algorithm, use: 'sig' };
  return { privateKey, jwk };
}

function sign(
  name: string,
  claims: object,
  header: { alg: string },
  key: CryptoKey | Uint8Array,
): Promise<string> {
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
    .setProtectedHeader({ kid: 'k1', typ: 'at+jwt', ...header })
    .sign(key);
}
