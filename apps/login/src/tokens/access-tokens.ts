import { randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Claims } from '#contracts';
import { ACCESS_TOKEN_SECONDS } from './access-token-life.js';
import type { TokenKeys } from './token-keys.js';

/** Who a person's token speaks of. */
export interface Person {
  id: string;
  username: string;
  roles: Claims['roles'];
  services: string[] | null;
}

/** Issues access tokens (RFC 9068) that are good for 10 minutes. */
export class AccessTokens {
  constructor(
    private readonly keys: TokenKeys,
    private readonly by: { issuer: string; audiences: string[] },
  ) {}

  /** For a person in a session; good at the apps, at the services that the settings name, and at those named here. */
  forPerson(person: Person, sessionId: string, services: readonly string[]): Promise<string> {
    const { id, username, roles, services: limits } = person;
    return this.sign(id, {
      aud: this.audiencesWith(services),
      sid: sessionId,
      username,
      roles,
      ...(limits !== null && { services: limits }),
    });
  }

  /** For a service account; good at one app. */
  forClient(clientId: string, audience: string, scopes: readonly string[]): Promise<string> {
    return this.sign(clientId, {
      aud: [audience],
      client_id: clientId,
      scope: scopes.join(' '),
    });
  }

  /** The audiences that there always are, and these. */
  audiencesWith(services: readonly string[]): string[] {
    return [...new Set([...this.by.audiences, ...services])];
  }

  private async sign(subject: string, claims: Partial<Claims>): Promise<string> {
    const { algorithm, kid, key } = await this.keys.current();
    const issuedAt = Math.floor(Date.now() / 1_000);
    return new SignJWT(claims)
      .setProtectedHeader({ alg: algorithm, ...(kid !== undefined && { kid }), typ: 'at+jwt' })
      .setIssuer(this.by.issuer)
      .setSubject(subject)
      .setJti(randomBytes(16).toString('base64url'))
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + ACCESS_TOKEN_SECONDS)
      .sign(key);
  }
}
