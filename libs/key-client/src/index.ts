export { describeKey, type KeyDescription } from './describe-key.js';
export { fromEnv } from './from-env.js';
export { fromFile } from './from-file.js';
export { fromFunction, type FromFunctionOptions } from './from-function.js';
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
