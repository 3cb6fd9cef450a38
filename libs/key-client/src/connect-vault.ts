import { SecretStoreError } from './secret-provider.js';
import { callVault, type VaultAnswer, type VaultCall, type VaultPlace } from './vault-call.js';
import { createVaultToken, type VaultAuth } from './vault-token.js';

/** How to get into a Vault or OpenBao. */
export interface VaultOptions extends VaultPlace {
  auth: VaultAuth;
}

/** A way into Vault, which any number of secrets may share. It holds its token where nobody can print it. */
export interface VaultConnection {
  /**
   * Makes a request with the token; where that is refused once more with another one, if there is one.
   *
   * @throws SecretStoreError where there is no token to be had, or no answer
   */
  call(call: Omit<VaultCall, 'token'>): Promise<VaultAnswer>;
}

/** Prepares a connection; nothing is sent before it is used. */
export function connectVault({ auth, ...place }: VaultOptions): VaultConnection {
  const tokens = createVaultToken(place, auth);
  return {
    call: async (call) => {
      const token = await tokens.current();
      const first = await callVault(place, { ...call, token });
      if (first.status !== 403) return first;
      const other = await tokens.after(token).catch((error: unknown) => {
        if (error instanceof SecretStoreError && error.isRefusal) return null;
        throw error;
      });
      return other === null ? first : callVault(place, { ...call, token: other });
    },
  };
}
