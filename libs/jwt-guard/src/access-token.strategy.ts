import { randomUUID } from 'node:crypto';
import passport from 'passport';
import { Strategy } from 'passport-jwt';
import { bearerToken } from './bearer-token.js';
import type { TokenVerifier } from './token-verifier.js';

/**
 * passport-jwt with its verifying left to jose: its own would be jsonwebtoken, which knows no EdDSA, and whose replacement
 * (`Strategy.JwtVerifier`) would be one for the whole process, other people's strategies included.
 *
 * Succeeds with the claims, fails with no challenge where no token was sent and with a TokenError where one is refused,
 * and errs with KeysUnavailable where nobody can say.
 */
export class AccessTokenStrategy extends Strategy {
  /** Each strategy has its own: passport knows strategies by name, across all apps of a process. */
  override readonly name = `access-token-${randomUUID()}`;

  constructor(private readonly verifier: TokenVerifier) {
    super({ jwtFromRequest: bearerToken, secretOrKey: 'never used' }, () => {
      throw new Error('jose verifies');
    });
    passport.use(this.name, this);
  }

  override authenticate(request: Parameters<Strategy['authenticate']>[0]): void {
    const token = bearerToken(request);
    if (token === null) return this.fail(undefined, 401);
    this.verifier.verify(token).then(
      (claims) => this.success(claims),
      (error: Error) => ('isUnavailable' in error ? this.error(error) : this.fail(error, 401)),
    );
  }
}
