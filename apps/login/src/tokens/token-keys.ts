import type { KeyObject } from 'node:crypto';
import type { JWK } from 'jose';

/** What signs now. */
export interface Signer {
  algorithm: 'ES256' | 'RS256' | 'EdDSA' | 'HS256';
  /** Name of the key in the header; a shared secret has none. */
  kid?: string;
  key: KeyObject | Uint8Array;
}

/** What access tokens are signed with: one family, for all replicas. */
export abstract class TokenKeys {
  /** Makes what is missing and reads what is there. */
  abstract start(): Promise<void>;

  abstract current(): Promise<Signer>;

  /** The public keys as a JSON Web Key Set (RFC 7517). */
  abstract jwks(): Promise<{ keys: JWK[] }>;

  /**
   * Rolls over to the next key.
   *
   * @param isCompromised the present key ends at once, with every token it has signed
   * @returns kid of the key that signs now
   * @throws ConflictException where that cannot be done at present
   */
  abstract rotate(isCompromised: boolean): Promise<string>;
}
