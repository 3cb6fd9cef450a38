/** The guard without a framework: for Express, Fastify and whatever else asks whether a key may pass. */
export {
  createKeyVerifier,
  VerificationUnavailable,
  type KeyQuestion,
  type KeyVerifier,
  type KeyVerifierOptions,
} from './key-verifier.js';
export {
  createServiceToken,
  TokenUnavailable,
  type ServiceToken,
  type ServiceTokenOptions,
} from './service-token.js';
export type { Verdict } from '#contracts';
