export { describeKey, type KeyDescription } from './describe-key.js';
export {
  createKeyClient,
  SecretUnavailable,
  type KeyClient,
  type KeyClientOptions,
} from './key-client.js';
export { fromEnv, fromFile, type SecretProvider } from './secret-provider.js';
