export { createClientAssertion, type ClientAssertionOptions } from './client-assertion.js';
export type { GuardAnswer, GuardedRequest, Verify } from './check.js';
export { createKeyGuard, createOwnGuard, type GuardState, type KeyGuardCore } from './key-guard.js';
export type { KeyGuardOptions } from './options.js';
export type { KeyQuestion } from './question.js';
export type { RefusalProblem } from './refusals.js';
export { createServiceToken, TokenUnavailable, type ServiceToken } from './service-token.js';
export type { ServiceTokenOptions } from './service-token-options.js';
export { VerificationUnavailable } from './unavailable.js';
