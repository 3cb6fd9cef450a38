export {
  Authenticated,
  Caller,
  Public,
  Roles,
  TokenScopes,
  accessOf,
  callerOf,
  type Access,
  type Role,
  type TokenScope,
} from './access.js';
export type { Claims } from '#contracts';
export { bearerToken } from './bearer-token.js';
export { JwtGuardModule, TOKEN_VERIFIER, type JwtGuardOptions } from './jwt-guard.module.js';
export type { PinnedAlgorithm, TokenVerifierOptions } from './options.js';
export { unguardedRoutes } from './route-check.js';
export { KeysUnavailable, TokenError } from './token-error.js';
export { createTokenVerifier, type TokenVerifier } from './token-verifier.js';
