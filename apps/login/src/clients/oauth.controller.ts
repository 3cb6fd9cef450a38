import { Body, Controller, Header, Headers, HttpCode, Post, UseFilters } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import {
  oauthError,
  oauthToken,
  oauthTokenForm,
  type OAuthToken,
  type OAuthTokenForm,
} from '#contracts';
import { Public } from '#jwt-guard';
import { ApiBasicAuth, ApiConsumes, ApiOperation, ApiResponse, ApiTags } from '#server';
import { From } from '../from.js';
import type { Origin } from '../security-events.js';
import { Limited } from '../sessions/limits.guard.js';
import { ClientTokens } from './client-tokens.js';
import { OAuthErrorFilter, tellAsOAuth } from './oauth-error.filter.js';

/** Path of the token endpoint: the one that takes a form. */
export const TOKEN_PATH = '/oauth2/token';

/** Tokens for service accounts. */
@ApiTags('OAuth')
@Controller()
export class OAuthController {
  constructor(private readonly tokens: ClientTokens) {}

  @Post(TOKEN_PATH)
  @Public()
  @Limited('tokens-by-address')
  @UseFilters(OAuthErrorFilter)
  @RouteConfig({ tell: tellAsOAuth })
  @HttpCode(200)
  @Header('pragma', 'no-cache')
  @ApiOperation({ summary: 'A token for a service account (client credentials)' })
  @ApiBasicAuth('client')
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiResponse({ status: 200, standardSchema: oauthToken })
  @ApiResponse({ status: 400, standardSchema: oauthError })
  @ApiResponse({ status: 401, standardSchema: oauthError })
  issue(
    @Body({ schema: oauthTokenForm }) form: OAuthTokenForm,
    @Headers('authorization') authorization: string | undefined,
    @From() from: Origin,
  ): Promise<OAuthToken> {
    return this.tokens.issue(form, authorization, from);
  }
}
