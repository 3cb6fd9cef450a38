import { createTokenVerifier, type TokenVerifier, type TokenVerifierOptions } from '#jwt-guard';

/** Injection token of {@link ActorTokens}. */
export const ACTOR_TOKENS = Symbol('ACTOR_TOKENS');

/** The verifier of tokens that people gave to a service; `audience` is the service's slug. */
export type ActorTokens = (audience: string) => TokenVerifier;

/** One verifier for each service that asks. Services are few: only those with an account at login come this far. */
export function createActorTokens(options: Omit<TokenVerifierOptions, 'audience'>): ActorTokens {
  const verifiers = new Map<string, TokenVerifier>();
  return (audience) => {
    const verifier = verifiers.get(audience) ?? createTokenVerifier({ ...options, audience });
    verifiers.set(audience, verifier);
    return verifier;
  };
}
