/** Codes of RFC 6749, section 5.2, and RFC 8707, section 2. */
export type OAuthCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_scope'
  | 'invalid_target'
  | 'unsupported_grant_type';

/** An expected "no" of the token endpoint. */
export class OAuthRefusal extends Error {
  constructor(
    readonly code: OAuthCode,
    message: string,
  ) {
    super(message);
  }
}

/** The refusal of a client, which is the same whatever is wrong with it. */
export function invalidClient(): OAuthRefusal {
  return new OAuthRefusal('invalid_client', 'The client or its secret is not right');
}
