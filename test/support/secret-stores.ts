/** Servers that stand in for the places that secrets are kept in, over their real protocols. */
export {
  createSecretsManagerServer,
  CREDENTIALS,
  type SecretsManagerServer,
} from '../../libs/key-client/src/testing/secrets-manager-server.js';
export {
  createVaultServer,
  type VaultServer,
} from '../../libs/key-client/src/testing/vault-server.js';
