import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import type { OAuthToken, OAuthTokenForm } from '#contracts';
import { LOG, SECRETS } from '../injection.js';
import { digestOf, isSameDigest, type LoginSecrets } from '../secrets.js';
import { securityEvent, type Origin } from '../security-events.js';
import { ACCESS_TOKEN_SECONDS } from '../tokens/access-token-life.js';
import { AccessTokens } from '../tokens/access-tokens.js';
import { clientCredentials, type ClientCredentials } from './client-credentials.js';
import { ClientEntity } from './client.entity.js';
import { invalidClient, OAuthRefusal } from './oauth-refusal.js';

const NO_DIGEST = Buffer.alloc(32);

/** Tokens for service accounts: the client-credentials grant (RFC 6749, section 4.4). */
@Injectable()
export class ClientTokens {
  constructor(
    private readonly db: DataSource,
    private readonly tokens: AccessTokens,
    @Inject(SECRETS) private readonly secrets: LoginSecrets,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** @throws OAuthRefusal */
  async issue(
    form: OAuthTokenForm,
    authorization: string | undefined,
    from: Origin,
  ): Promise<OAuthToken> {
    if (form.grant_type !== 'client_credentials')
      throw new OAuthRefusal('unsupported_grant_type', 'Use grant_type=client_credentials');
    const client = await this.authenticate(clientCredentials(authorization, form), from);
    const audience = audienceOf(client, form.audience);
    const scopes = scopesOf(client, form.scope);
    return {
      access_token: await this.tokens.forClient(client.clientId, audience, scopes),
      token_type: 'Bearer',
      expires_in: ACCESS_TOKEN_SECONDS,
      scope: scopes.join(' '),
    };
  }

  private async authenticate(
    { clientId, secret }: ClientCredentials,
    from: Origin,
  ): Promise<ClientEntity> {
    const client = await this.db.getRepository(ClientEntity).findOneBy({ clientId });
    const digest = digestOf(this.secrets.clientSecrets, secret);
    const isRight = isSameDigest(digest, client?.secretDigest ?? NO_DIGEST);
    if (client?.enabled && isRight) return client;
    const reason = client === null ? 'unknown' : isRight ? 'disabled' : 'wrong secret';
    securityEvent(this.log, 'client.refused', { clientId: client?.clientId, reason, ...from });
    throw invalidClient();
  }
}

function audienceOf({ audiences }: ClientEntity, asked: string | undefined): string {
  const audience = asked ?? audiences[0]!;
  if (audiences.includes(audience)) return audience;
  throw new OAuthRefusal('invalid_target', 'The client may not have tokens for this audience');
}

function scopesOf({ scopes }: ClientEntity, asked: string | undefined): string[] {
  if (asked === undefined || asked.trim() === '') return scopes;
  const wanted = [...new Set(asked.split(' ').filter((one) => one !== ''))];
  const given: readonly string[] = scopes;
  if (wanted.every((one) => given.includes(one))) return wanted;
  throw new OAuthRefusal('invalid_scope', 'The client was not given every scope it asks for');
}
