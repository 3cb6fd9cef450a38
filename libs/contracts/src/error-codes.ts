/**
 * Every code that a problem answer may carry, with its HTTP status and title. The set is closed: what the platform
 * answers is in this table or does not compile. Codes are stable; titles may be reworded.
 */
export const PROBLEMS = {
  INVALID_REQUEST: { status: 400, title: 'The request is not valid' },
  INVALID_JSON: { status: 400, title: 'The body is not valid JSON' },
  INVALID_HEADER: { status: 400, title: 'A header is not valid' },
  INVALID_CURSOR: { status: 400, title: 'The cursor is not one of this list' },
  KEY_IN_WRONG_PLACE: { status: 400, title: 'A key or token is where it does not belong' },
  POLICY_VIOLATION: { status: 400, title: 'The policy of the service does not allow this' },
  UNAUTHENTICATED: { status: 401, title: 'Authentication is required' },
  INVALID_TOKEN: { status: 401, title: 'The token is not valid' },
  INVALID_CREDENTIALS: { status: 401, title: 'The credentials are not valid' },
  API_KEY_MISSING: { status: 401, title: 'An API key is required' },
  FORBIDDEN: { status: 403, title: 'You may not do this' },
  API_KEY_INVALID: { status: 403, title: 'The API key is not valid' },
  API_KEY_REVOKED: { status: 403, title: 'The API key was revoked' },
  API_KEY_EXPIRED: { status: 403, title: 'The API key has expired' },
  API_KEY_SUPERSEDED: { status: 403, title: 'The API key was replaced by a newer secret' },
  API_KEY_NOT_YET_VALID: { status: 403, title: 'The API key is not valid yet' },
  API_KEY_DISABLED: { status: 403, title: 'The API key is disabled' },
  INSUFFICIENT_SCOPE: { status: 403, title: 'The API key lacks a scope that this needs' },
  IP_NOT_ALLOWED: { status: 403, title: 'The API key may not be used from this address' },
  WRONG_ENVIRONMENT: { status: 403, title: 'The API key belongs to another environment' },
  NOT_FOUND: { status: 404, title: 'Not found' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'This method is not allowed here' },
  NOT_ACCEPTABLE: { status: 406, title: 'No acceptable form of the answer' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request took too long to arrive' },
  ALREADY_EXISTS: { status: 409, title: 'It exists already' },
  CONFLICT: { status: 409, title: 'The present state does not allow this' },
  VERSION_MISMATCH: { status: 412, title: 'It was changed in the meantime' },
  BODY_TOO_LARGE: { status: 413, title: 'The body is too large' },
  URI_TOO_LONG: { status: 414, title: 'The address is too long' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The media type is not supported' },
  EXPECTATION_FAILED: { status: 417, title: 'The expectation cannot be met' },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: 'The Idempotency-Key was used for another request',
  },
  IF_MATCH_REQUIRED: { status: 428, title: 'If-Match is required' },
  TOO_MANY_REQUESTS: { status: 429, title: 'Too many requests' },
  RATE_LIMITED: { status: 429, title: 'A rate limit of the API key is reached' },
  QUOTA_EXCEEDED: { status: 429, title: 'The quota of the API key is used up' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The headers are too large' },
  INTERNAL_ERROR: { status: 500, title: 'Something went wrong here' },
  UPSTREAM_REFUSED: { status: 502, title: 'A service behind this one refused us' },
  DELIVERY_FAILED: { status: 502, title: 'The secret could not be delivered' },
  SERVICE_UNAVAILABLE: { status: 503, title: 'The service cannot answer at present' },
  DELIVERY_UNAVAILABLE: { status: 503, title: 'The secret cannot be delivered at present' },
  VERIFICATION_UNAVAILABLE: { status: 503, title: 'The API key cannot be verified at present' },
} as const satisfies Record<string, { status: number; title: string }>;

/** A stable, machine-readable reason of a problem answer. */
export type ErrorCode = keyof typeof PROBLEMS;

/** Whether `code` is one of the platform's own. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(PROBLEMS, code);
}
