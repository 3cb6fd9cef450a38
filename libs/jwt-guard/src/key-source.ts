import type { CryptoKey } from 'jose';

/** A key that signatures are checked with: one of a pair, or the bytes of a shared secret. */
export type VerifyingKey = CryptoKey | Uint8Array;

/** Where the keys of the pinned family are. `kid` is what the header of the token says, whatever it is. */
export interface KeySource {
  /** The key, if it is at hand. */
  find(kid: unknown): VerifyingKey | undefined;
  /**
   * The key, read from the issuer where it is not at hand.
   *
   * @throws TokenError when there is no such key
   * @throws KeysUnavailable when nobody can say
   */
  get(kid: unknown): Promise<VerifyingKey>;
}

/** One secret that issuer and verifier share. It has no name, so what a token calls its key does not matter. */
export function sharedSecret(secret: Uint8Array): KeySource {
  return { find: () => secret, get: () => Promise.resolve(secret) };
}
