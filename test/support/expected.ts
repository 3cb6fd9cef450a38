import { problemOf, type ErrorCode } from '#contracts';

/** A time as the platform writes it. */
export const INSTANT: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
export const JWT: unknown = expect.stringMatching(/^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{86}$/);
export const REFRESH_TOKEN: unknown = expect.stringMatching(/^kwr_[\w-]{43}$/);
export const USER_ID: unknown = expect.stringMatching(/^usr_[0-9A-Za-z]{16}$/);
export const KEY_ID: unknown = expect.stringMatching(/^key_[0-9A-Za-z]{16}$/);
const REQUEST_ID: unknown = expect.stringMatching(/^[0-9a-f-]{36}$/);

/** Text of a key with this id. */
export function keyTextOf(id: string, environment = 'live', prefix = 'kw'): unknown {
  const plain = id.slice('key_'.length);
  return expect.stringMatching(new RegExp(`^${prefix}_${environment}_${plain}_[0-9A-Za-z]{49}$`));
}

/** A pair of tokens, as a login and a refresh answer it. */
export const TOKEN_PAIR = {
  accessToken: JWT,
  tokenType: 'Bearer',
  expiresIn: 600,
  refreshToken: REFRESH_TOKEN,
  refreshExpiresIn: 604_800,
};

/** Status and whole body of a refusal. */
export function refusal(code: ErrorCode, instance: string, detail: unknown = expect.any(String)) {
  const fixed = problemOf(code);
  return { status: fixed.status, body: { ...fixed, detail, instance, requestId: REQUEST_ID } };
}

/** A key as management shows it, fresh from being made for service-b at service-a but for what is given. */
export function shownKey(given: Record<string, unknown>) {
  return {
    id: KEY_ID,
    consumer: 'service-b',
    environment: 'live',
    grants: [{ service: 'service-a', scopes: ['reports:read'] }],
    status: 'active',
    notBefore: null,
    expiresAt: INSTANT,
    rateLimits: [],
    quota: null,
    ipAllowlist: [],
    tags: [],
    metadata: {},
    hint: { prefix: 'kw', last4: expect.stringMatching(/^[0-9A-Za-z]{4}$/) as unknown },
    rotation: null,
    origin: 'issued',
    createdAt: INSTANT,
    createdBy: USER_ID,
    updatedAt: INSTANT,
    lastUsedAt: null,
    revokedAt: null,
    revocationReason: null,
    version: 1,
    ...given,
  };
}
