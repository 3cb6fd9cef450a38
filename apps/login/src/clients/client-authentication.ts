import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { issuerOf, type LoginEnv } from '../config.js';
import { ENV, LOG, SECRETS } from '../injection.js';
import { digestOf, isSameDigest, type LoginSecrets } from '../secrets.js';
import { securityEvent, type Origin } from '../security-events.js';
import { goodAssertion, spendAssertion } from './client-assertion.js';
import type { ClientCredentials } from './client-credentials.js';
import { ClientEntity } from './client.entity.js';
import { invalidClient } from './oauth-refusal.js';

const NO_DIGEST = Buffer.alloc(32);

/** Whether a service account is who it says: by its secret or, where it has keys of its own, by a signature alone. */
@Injectable()
export class ClientAuthentication {
  constructor(
    private readonly db: DataSource,
    @Inject(SECRETS) private readonly secrets: LoginSecrets,
    @Inject(LOG) private readonly log: Logger,
    @Inject(ENV) private readonly env: LoginEnv,
  ) {}

  /** @throws OAuthRefusal invalid_client, the same whatever is wrong */
  async authenticate(given: ClientCredentials, from: Origin): Promise<ClientEntity> {
    const { clientId } = given;
    const client = await this.db.getRepository(ClientEntity).findOneBy({ clientId });
    const isRight = await ('secret' in given
      ? this.isSecretOf(client, given.secret)
      : this.isAssertionOf(client, given.assertion));
    if (client?.enabled && isRight) return client;
    const wrong = 'secret' in given ? 'wrong secret' : 'wrong assertion';
    const reason = client === null ? 'unknown' : isRight ? 'disabled' : wrong;
    securityEvent(this.log, 'client.refused', { clientId: client?.clientId, reason, ...from });
    throw invalidClient();
  }

  private isSecretOf(client: ClientEntity | null, secret: string): boolean {
    const digest = digestOf(this.secrets.clientSecrets, secret);
    const isRight = isSameDigest(digest, client?.secretDigest ?? NO_DIGEST);
    return isRight && client?.jwks === null;
  }

  private async isAssertionOf(client: ClientEntity | null, assertion: string): Promise<boolean> {
    if (client === null || client.jwks === null) return false;
    const { clientId, jwks: keys } = client;
    const issuer = issuerOf(this.env);
    const audiences = [issuer, `${issuer}/oauth2/token`];
    const good = await goodAssertion(assertion, { clientId, keys, audiences });
    return good !== null && (await spendAssertion(this.db, clientId, good));
  }
}
