export { ApiKey } from './api-key.js';
export { KEY_VERIFIER, KeyGuard } from './key.guard.js';
export { KeyGuardModule } from './key-guard.module.js';
export {
  createKeyVerifier,
  VerificationUnavailable,
  type KeyQuestion,
  type KeyVerifier,
  type KeyVerifierOptions,
} from './key-verifier.js';
export { RequireScope } from './require-scope.js';
export {
  createServiceToken,
  TokenUnavailable,
  type ServiceToken,
  type ServiceTokenOptions,
} from './service-token.js';
