import { z } from 'zod';
import { secretBytes } from './server-env.js';

/** Settings of every app that issues or checks access tokens; the same for all of a platform. */
export const tokenEnv = z.object({
  /** The one family that tokens are signed in. */
  JWT_ALGORITHM: z.enum(['ES256', 'RS256', 'EdDSA', 'HS256']).default('ES256'),
  /** With HS256: the secret that all apps share. Who has it can make tokens. */
  JWT_SECRET: secretBytes.optional(),
});
export type TokenEnv = z.infer<typeof tokenEnv>;

/** Refinement of a schema with {@link tokenEnv}: HS256 needs a secret. */
export function checkTokenEnv(env: TokenEnv, context: z.RefinementCtx): void {
  if (env.JWT_ALGORITHM !== 'HS256' || env.JWT_SECRET !== undefined) return;
  const message = 'is required for JWT_ALGORITHM=HS256';
  context.addIssue({ code: 'custom', path: ['JWT_SECRET'], message });
}

/** Where the keys are that tokens are checked with. */
export type TokenKeysSource<Source> =
  | { algorithm: 'HS256'; secret: Buffer }
  | { algorithm: 'ES256' | 'RS256' | 'EdDSA'; jwksUrl: Source };

/**
 * What the JWT guard is told of the keys.
 *
 * @param jwksUrl where the issuer publishes them; not used with a shared secret
 */
export function tokenKeysOf<Source>(env: TokenEnv, jwksUrl: Source): TokenKeysSource<Source> {
  const { JWT_ALGORITHM: algorithm, JWT_SECRET: secret } = env;
  return algorithm === 'HS256' ? { algorithm, secret: secret! } : { algorithm, jwksUrl };
}
