import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { maskSecrets, type OAuthToken, type OAuthTokenForm } from '#contracts';
import type { Origin } from '../security-events.js';
import { ACCESS_TOKEN_SECONDS } from '../tokens/access-token-life.js';
import { AccessTokens } from '../tokens/access-tokens.js';
import { enabledAccounts } from './audiences.js';
import { ClientAuthentication } from './client-authentication.js';
import { clientCredentials } from './client-credentials.js';
import type { ClientEntity } from './client.entity.js';
import { OAuthRefusal } from './oauth-refusal.js';

/** Tokens for service accounts: the client-credentials grant (RFC 6749, section 4.4). */
@Injectable()
export class ClientTokens {
  constructor(
    private readonly db: DataSource,
    private readonly authentication: ClientAuthentication,
    private readonly tokens: AccessTokens,
  ) {}

  /** @throws OAuthRefusal */
  async issue(
    form: OAuthTokenForm,
    authorization: string | undefined,
    from: Origin,
  ): Promise<OAuthToken> {
    if (form.grant_type !== 'client_credentials')
      throw new OAuthRefusal('unsupported_grant_type', 'Use grant_type=client_credentials');
    const given = clientCredentials(authorization, form);
    const client = await this.authentication.authenticate(given, from);
    const audience = await this.audienceOf(client, form.audience);
    const scopes = scopesOf(client, form.scope);
    return {
      access_token: await this.tokens.forClient(client.clientId, audience, scopes),
      token_type: 'Bearer',
      expires_in: ACCESS_TOKEN_SECONDS,
      scope: scopes.join(' '),
    };
  }

  private async audienceOf(
    { audiences }: ClientEntity,
    asked: string | undefined,
  ): Promise<string> {
    const audience = asked ?? audiences[0]!;
    if (!audiences.includes(audience))
      throw new OAuthRefusal(
        'invalid_target',
        `The client was not given ${named([audience])}; it may ask for ${audiences.join(' or ')}`,
      );
    const known = this.tokens.audiencesWith(await enabledAccounts(this.db));
    if (known.includes(audience)) return audience;
    throw new OAuthRefusal('invalid_target', 'There is no such audience, or no longer');
  }
}

function scopesOf({ scopes }: ClientEntity, asked: string | undefined): string[] {
  if (asked === undefined || asked.trim() === '') return scopes;
  const wanted = [...new Set(asked.split(' ').filter((one) => one !== ''))];
  const given: readonly string[] = scopes;
  const others = wanted.filter((one) => !given.includes(one));
  if (others.length === 0) return wanted;
  const may = scopes.length === 0 ? 'no scope at all' : scopes.join(' ');
  throw new OAuthRefusal(
    'invalid_scope',
    `The client was not given ${named(others)}; it may ask for ${may}`,
  );
}

/** What an answer may repeat; nothing that could be a secret, or cannot be written there. */
function named(asked: readonly string[]): string {
  const texts = asked.filter((one) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(one));
  return texts.length === 0 ? 'what it asks for' : maskSecrets(texts.join(' '));
}
