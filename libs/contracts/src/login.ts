import { z } from 'zod';
import { newPassword, role, tokenScope, username } from './claims.js';
import { clientKeys } from './client-keys.js';
import { unlessAtHome } from './messages.js';
import { displayName, instantOut, page, pageOf, slug } from './primitives.js';

/** `POST /v1/login`. The password is only bounded here: rules of new passwords do not apply to one that is tried. */
export const loginBody = z
  .strictObject({ username: z.string().min(1).max(256), password: z.string().min(1).max(1_000) })
  .meta({ id: 'LoginBody' });
export type LoginBody = z.infer<typeof loginBody>;

/** `POST /v1/token/refresh` and `POST /v1/logout`. */
export const refreshBody = z
  .strictObject({ refreshToken: z.string().min(1).max(512) })
  .meta({ id: 'RefreshBody' });
export type RefreshBody = z.infer<typeof refreshBody>;

/** What a login or refresh answers; times in seconds from now. */
export const tokenPair = z
  .object({
    accessToken: z.string(),
    tokenType: z.literal('Bearer'),
    expiresIn: z.int(),
    refreshToken: z.string(),
    refreshExpiresIn: z.int(),
  })
  .meta({ id: 'TokenPair' });
export type TokenPair = z.infer<typeof tokenPair>;

/** `GET /v1/me`. */
export const me = z
  .object({
    id: z.string(),
    username: z.string(),
    roles: z.array(role),
    services: z.array(slug).nullable(),
    expiresAt: instantOut,
  })
  .meta({ id: 'Me' });
export type Me = z.infer<typeof me>;

/** Id of a person. */
export const userId = z
  .string()
  .regex(/^usr_[0-9A-Za-z]{16}$/, 'Use an id such as usr_3kTMd7QpXvB2nYcF');

/** A person; `services` null means an admin who is not limited to some. */
export const user = z
  .object({
    id: z.string(),
    username: z.string(),
    roles: z.array(role),
    services: z.array(slug).nullable(),
    enabled: z.boolean(),
    createdAt: instantOut,
    updatedAt: instantOut,
    version: z.int(),
  })
  .meta({ id: 'User' });
export type User = z.infer<typeof user>;

const roles = z
  .array(role)
  .min(1)
  .max(3)
  .refine((list) => new Set(list).size === list.length, 'Name each role once');
const services = z.array(slug).min(1).max(100).nullable();

/** `POST /v1/users`. */
export const createUserBody = z
  .strictObject({
    username,
    password: newPassword,
    roles: roles.default(['user']),
    services: services.default(null),
  })
  .meta({ id: 'CreateUserBody' });
export type CreateUserBody = z.infer<typeof createUserBody>;

/** `PATCH /v1/users/{id}`. */
export const patchUserBody = z
  .strictObject(
    {
      roles: roles.optional(),
      services: services.optional(),
      enabled: z.boolean().optional(),
    },
    {
      error: unlessAtHome({
        password: 'a password is set by POST /v1/users/{id}/password',
        username: 'a person keeps the name: create another one by POST /v1/users',
      }),
    },
  )
  .refine((body) => Object.keys(body).length > 0, 'Name at least one property to change')
  .meta({ id: 'PatchUserBody' });
export type PatchUserBody = z.infer<typeof patchUserBody>;

/** `POST /v1/users/{id}/password`. */
export const setPasswordBody = z
  .strictObject({ password: newPassword })
  .meta({ id: 'SetPasswordBody' });
export type SetPasswordBody = z.infer<typeof setPasswordBody>;

/** `POST /v1/me/password`: the old one is asked for, so that a stolen token is not a stolen account. */
export const changePasswordBody = z
  .strictObject({ oldPassword: z.string().min(1).max(1_000), password: newPassword })
  .meta({ id: 'ChangePasswordBody' });
export type ChangePasswordBody = z.infer<typeof changePasswordBody>;

export const listUsersQuery = z.strictObject({ ...page });
export type ListUsersQuery = z.infer<typeof listUsersQuery>;
export const userPage = pageOf(user);

/** The four apps, or client ids of other service accounts. */
const audiences = z.array(slug).min(1).max(20);

/** A service account: `clientId` is the slug of the service it stands for. */
export const client = z
  .object({
    clientId: slug,
    name: z.string(),
    scopes: z.array(tokenScope),
    audiences: z.array(z.string()),
    jwks: clientKeys.nullable(),
    enabled: z.boolean(),
    createdAt: instantOut,
    updatedAt: instantOut,
    version: z.int(),
  })
  .meta({ id: 'Client' });
export type Client = z.infer<typeof client>;

/** `POST /v1/clients`. */
export const createClientBody = z
  .strictObject({
    clientId: slug,
    name: displayName.optional(),
    scopes: z.array(tokenScope).max(10).default([]),
    audiences: audiences.default(['key-service']),
    /** Public keys for `private_key_jwt`; with them the secret is no longer taken. */
    jwks: clientKeys.nullable().default(null),
  })
  .meta({ id: 'CreateClientBody' });
export type CreateClientBody = z.infer<typeof createClientBody>;

const NEW_SECRET = 'a new secret is made by POST /v1/clients/{id}/secret';

/** `PATCH /v1/clients/{id}`. */
export const patchClientBody = z
  .strictObject(
    {
      name: displayName.optional(),
      scopes: z.array(tokenScope).max(10).optional(),
      audiences: audiences.optional(),
      jwks: clientKeys.nullable().optional(),
      enabled: z.boolean().optional(),
    },
    {
      error: unlessAtHome({
        secret: NEW_SECRET,
        clientSecret: NEW_SECRET,
        clientId: 'an account keeps its id: create another one by POST /v1/clients',
      }),
    },
  )
  .refine((body) => Object.keys(body).length > 0, 'Name at least one property to change')
  .meta({ id: 'PatchClientBody' });
export type PatchClientBody = z.infer<typeof patchClientBody>;

/** Answer of `POST /v1/clients` and `POST /v1/clients/{id}/secret`: the secret is shown this once. */
export const issuedClient = z
  .object({ client, clientSecret: z.string() })
  .meta({ id: 'IssuedClient' });
export type IssuedClient = z.infer<typeof issuedClient>;

/** The same answer as it is described: repeated by Idempotency-Key it comes without its secret after 10 minutes. */
export const repeatedIssuedClient = issuedClient
  .partial({ clientSecret: true })
  .meta({ id: 'IssuedClientAnswer' });

export const listClientsQuery = z.strictObject({ ...page });
export type ListClientsQuery = z.infer<typeof listClientsQuery>;
export const clientPage = pageOf(client);

/** Answer of `POST /oauth2/token` (RFC 6749, section 5.1). */
export const oauthToken = z
  .object({
    access_token: z.string(),
    token_type: z.literal('Bearer'),
    expires_in: z.int(),
    scope: z.string(),
  })
  .meta({ id: 'OAuthToken' });
export type OAuthToken = z.infer<typeof oauthToken>;

/** Form of `POST /oauth2/token` (RFC 6749, section 4.4.2); what else is sent is ignored, as the RFC says. */
export const oauthTokenForm = z
  .object({
    grant_type: z.string().min(1).max(128),
    /** An app's name or a service account's client id; by default the first that the client was given. */
    audience: z.string().min(1).max(64).optional(),
    /** Space-separated; by default all that the client was given. */
    scope: z.string().max(512).optional(),
    client_id: z.string().max(128).optional(),
    client_secret: z.string().max(512).optional(),
    client_assertion_type: z.string().max(128).optional(),
    client_assertion: z.string().max(8_192).optional(),
  })
  .meta({ id: 'OAuthTokenForm' });
export type OAuthTokenForm = z.infer<typeof oauthTokenForm>;

/** A refusal of `POST /oauth2/token` (RFC 6749, section 5.2). */
export const oauthError = z
  .object({ error: z.string(), error_description: z.string() })
  .meta({ id: 'OAuthError' });
export type OAuthError = z.infer<typeof oauthError>;

/** `GET /.well-known/jwks.json`: public members only, none where tokens are signed with a shared secret. */
export const jwks = z
  .object({
    keys: z.array(
      z.object({
        kty: z.enum(['EC', 'RSA', 'OKP']),
        kid: z.string(),
        alg: z.string(),
        use: z.string(),
        crv: z.string().optional(),
        x: z.string().optional(),
        y: z.string().optional(),
        n: z.string().optional(),
        e: z.string().optional(),
      }),
    ),
  })
  .meta({ id: 'Jwks' });
export type Jwks = z.infer<typeof jwks>;

/** `GET /.well-known/oauth-authorization-server` (RFC 8414). */
export const serverMetadata = z
  .object({
    issuer: z.url(),
    token_endpoint: z.url(),
    jwks_uri: z.url(),
    grant_types_supported: z.array(z.string()),
    response_types_supported: z.array(z.string()),
    token_endpoint_auth_methods_supported: z.array(z.string()),
    token_endpoint_auth_signing_alg_values_supported: z.array(z.string()),
    scopes_supported: z.array(z.string()),
  })
  .meta({ id: 'ServerMetadata' });
export type ServerMetadata = z.infer<typeof serverMetadata>;

/** `POST /v1/signing-keys/rotate`; `compromised` ends the present key, and all tokens that it has signed, at once. */
export const rotateSigningKeyBody = z
  .strictObject({ compromised: z.boolean().default(false) })
  .default({ compromised: false })
  .meta({ id: 'RotateSigningKeyBody' });
export type RotateSigningKeyBody = z.infer<typeof rotateSigningKeyBody>;

/** Answer of `POST /v1/signing-keys/rotate`: the key that signs now. */
export const rotatedSigningKey = z.object({ kid: z.string() }).meta({ id: 'RotatedSigningKey' });
export type RotatedSigningKey = z.infer<typeof rotatedSigningKey>;
