export { describeKey, type KeyDescription } from './describe-key.js';
export type { AwsOptions } from './aws-secrets.js';
export { connectVault, type VaultConnection, type VaultOptions } from './connect-vault.js';
export { fromAws, type FromAwsOptions } from './from-aws.js';
export { fromEnv } from './from-env.js';
export { fromFile } from './from-file.js';
export { fromFunction, type FromFunctionOptions } from './from-function.js';
export { fromVault, type FromVaultOptions, type VaultSecret } from './from-vault.js';
export type { HoldOptions } from './hold-secret.js';
export {
  createKeyClient,
  SecretUnavailable,
  type KeyClient,
  type KeyClientOptions,
} from './key-client.js';
export type { RetryOptions } from './retry-wait.js';
export {
  SecretStoreError,
  type SecretProvider,
  type WritableSecretProvider,
  type WrittenSecret,
} from './secret-provider.js';
export type { VaultPlace } from './vault-call.js';
export type { Credential, VaultAuth } from './vault-token.js';
