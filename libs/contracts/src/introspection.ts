import { z } from 'zod';
import { slug } from './primitives.js';

/** Form of `POST /v1/introspect` (RFC 7662, section 2.1); parameters that are not known are passed over, as OAuth asks. */
export const introspectForm = z
  .object({ token: z.string().min(1), token_type_hint: z.string().optional() })
  .meta({ id: 'IntrospectForm' });
export type IntrospectForm = z.infer<typeof introspectForm>;

/**
 * What is said of an API key as a token (RFC 7662, section 2.2): of one that may not be used at the asking service, whatever
 * the reason, only that it is not active. Times are seconds since 1970; `exp` is missing where the key has no end, `iat` is
 * when the presented secret was issued.
 */
export const introspection = z
  .union([
    z.object({ active: z.literal(false) }),
    z.object({
      active: z.literal(true),
      scope: z.string(),
      client_id: slug,
      sub: z.string(),
      aud: slug,
      token_type: z.literal('api_key'),
      iat: z.int(),
      nbf: z.int().optional(),
      exp: z.int().optional(),
    }),
  ])
  .meta({ id: 'Introspection' });
export type Introspection = z.infer<typeof introspection>;
