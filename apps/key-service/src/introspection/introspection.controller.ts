import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import {
  introspectForm,
  introspection,
  type Claims,
  type IntrospectForm,
  type Introspection,
} from '#contracts';
import { Caller, TokenScopes } from '#jwt-guard';
import { ApiConsumes, ApiOperation, ApiResponse, ApiTags } from '#server';
import { unavailable } from '../verify/unavailable.js';
import { Verifier } from '../verify/verifier.js';
import { introspectionOf } from './introspection.js';

/** Takes a form instead of JSON. */
export const INTROSPECT_PATH = '/v1/introspect';

/** Token introspection (RFC 7662) for API keys, for services that already speak it. */
@ApiTags('verification')
@Controller(INTROSPECT_PATH)
export class IntrospectionController {
  constructor(private readonly verifier: Verifier) {}

  @Post()
  @HttpCode(200)
  @TokenScopes('keys:verify')
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiOperation({ summary: 'Introspect an API key (RFC 7662); counts as use, but spends nothing' })
  @ApiResponse({ status: 200, standardSchema: introspection })
  async introspect(
    @Body({ schema: introspectForm }) form: IntrospectForm,
    @Caller() { sub: service }: Claims,
  ): Promise<Introspection> {
    const looking = this.verifier.look({ text: form.token, service, isFresh: false });
    const opened = await looking.catch((error: unknown) => {
      throw unavailable(error);
    });
    return introspectionOf(opened, service);
  }
}
