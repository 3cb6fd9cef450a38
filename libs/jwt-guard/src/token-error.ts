/** A token that is refused for good; the message is for the log, never for the caller. */
export class TokenError extends Error {
  override name = 'TokenError';
}

/** Nobody can say whether the token is good: no keys of the issuer could be had. Answer 503, not 401. */
export class KeysUnavailable extends Error {
  override name = 'KeysUnavailable';
  readonly isUnavailable = true;
}
