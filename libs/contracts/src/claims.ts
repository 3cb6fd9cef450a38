import { z } from 'zod';
import { slug } from './primitives.js';

/** What a person may be. `admin` changes, `auditor` reads, `user` only calls services. */
export const role = z.enum(['admin', 'auditor', 'user']).meta({ id: 'Role' });
export type Role = z.infer<typeof role>;

/** Names of the apps, as audiences of tokens; every other service has the client id of its service account. */
export const AUDIENCES = ['login', 'key-service', 'service-a', 'service-b'] as const;

/**
 * Claims of an access token (RFC 9068, `typ: at+jwt`). A person's token has `roles`, of Keyward or, from another issuer, of its
 * own, and, for an admin limited to some services, `services`; a service's own token has `client_id` (its slug, as `sub`) and `scope`. Times are seconds.
 */
export const claims = z
  .object({
    iss: z.string(),
    aud: z
      .union([z.string(), z.array(z.string())])
      .transform((aud) => (typeof aud === 'string' ? [aud] : aud)),
    sub: z.string().min(1).max(128),
    jti: z.string(),
    iat: z.number(),
    exp: z.number(),
    sid: z.string().optional(),
    username: z.string().optional(),
    roles: z.array(z.string()).default([]),
    services: z.array(slug).optional(),
    client_id: z.string().optional(),
    scope: z.string().optional(),
  })
  .meta({ id: 'Claims' });
export type Claims = z.infer<typeof claims>;

/** Rights a service account can be given at the key service: to verify keys and what goes with it, to provision them for admins. */
export const tokenScope = z.enum(['keys:verify', 'keys:provision']).meta({ id: 'TokenScope' });
export type TokenScope = z.infer<typeof tokenScope>;

/** Scopes of a token as a list; the claim is a space-separated string (RFC 8693, section 4.2). */
export function scopesOf(token: Pick<Claims, 'scope'>): string[] {
  return token.scope === undefined || token.scope === '' ? [] : token.scope.split(' ');
}

/** Name that a person logs in with: 1 to 64 of `a-z`, `0-9`, `.`, `_`, `-`, `@`, after lower-casing and NFKC. */
export const username = z
  .string()
  .max(64)
  .transform((text) => text.normalize('NFKC').toLowerCase())
  .pipe(z.string().regex(/^[a-z0-9][a-z0-9._@-]{0,63}$/, 'Use 1 to 64 letters, digits or . _ @ -'))
  .meta({ id: 'Username' });

/** A password to be set: 15 to 1,000 characters (NIST SP 800-63B-4, 3.1.1.2: at least 15 where it is the only factor). */
export const newPassword = z.string().min(15, 'Use at least 15 characters').max(1_000);
