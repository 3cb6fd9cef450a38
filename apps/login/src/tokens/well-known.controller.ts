import { Controller, Get, Header, Inject } from '@nestjs/common';
import { jwks, serverMetadata, tokenScope, type Jwks, type ServerMetadata } from '#contracts';
import { Public } from '#jwt-guard';
import { ApiOperation, ApiResponse, ApiTags, ReadApart } from '#server';
import { issuerOf, type LoginEnv } from '../config.js';
import { ENV } from '../injection.js';
import { TokenKeys } from './token-keys.js';

/** Short, so that a key that was removed is soon gone everywhere. */
const KEYS_CACHED = 'public, max-age=10';
const METADATA_CACHED = 'public, max-age=300';

/** What verifiers and clients read to get along with login. */
@ApiTags('Metadata')
@Controller('.well-known')
@Public()
@ReadApart()
export class WellKnownController {
  constructor(
    private readonly keys: TokenKeys,
    @Inject(ENV) private readonly env: LoginEnv,
  ) {}

  @Get('jwks.json')
  @Header('cache-control', KEYS_CACHED)
  @ApiOperation({ summary: 'Public keys of access tokens (RFC 7517)' })
  @ApiResponse({ status: 200, standardSchema: jwks })
  jwks(): Promise<Jwks> {
    return this.keys.jwks() as Promise<Jwks>;
  }

  @Get('oauth-authorization-server')
  @Header('cache-control', METADATA_CACHED)
  @ApiOperation({ summary: 'Metadata of the authorization server (RFC 8414)' })
  @ApiResponse({ status: 200, standardSchema: serverMetadata })
  metadata(): ServerMetadata {
    const issuer = issuerOf(this.env);
    return {
      issuer,
      token_endpoint: `${issuer}/oauth2/token`,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      grant_types_supported: ['client_credentials'],
      response_types_supported: [],
      token_endpoint_auth_methods_supported: [
        'client_secret_basic',
        'client_secret_post',
        'private_key_jwt',
      ],
      token_endpoint_auth_signing_alg_values_supported: ['ES256', 'EdDSA', 'RS256'],
      scopes_supported: [...tokenScope.options],
    };
  }
}
