import { Body, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';
import {
  loginBody,
  refreshBody,
  tokenPair,
  type LoginBody,
  type RefreshBody,
  type TokenPair,
} from '#contracts';
import { Public } from '#jwt-guard';
import { ApiOperation, ApiResponse, ApiTags } from '#server';
import { LoginForwarder } from './login.forwarder.js';

/** Logging in through this service; login answers. */
@ApiTags('Login')
@Public()
@Controller('v1')
export class LoginController {
  constructor(private readonly login: LoginForwarder) {}

  @Post('login')
  @HttpCode(200)
  @ApiOperation({ summary: 'Exchange a username and password for tokens' })
  @ApiResponse({ status: 200, standardSchema: tokenPair })
  logIn(
    @Body({ schema: loginBody }) body: LoginBody,
    @Req() request: FastifyRequest,
  ): Promise<TokenPair> {
    return this.login.logIn(body, request);
  }

  @Post('token/refresh')
  @HttpCode(200)
  @ApiOperation({ summary: 'Exchange a refresh token, which is used up, for new tokens' })
  @ApiResponse({ status: 200, standardSchema: tokenPair })
  refresh(
    @Body({ schema: refreshBody }) body: RefreshBody,
    @Req() request: FastifyRequest,
  ): Promise<TokenPair> {
    return this.login.refresh(body, request);
  }

  @Post('logout')
  @HttpCode(204)
  @ApiOperation({ summary: 'End the session of a refresh token' })
  @ApiResponse({ status: 204, description: 'The session has ended' })
  logOut(
    @Body({ schema: refreshBody }) body: RefreshBody,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    return this.login.logOut(body, request);
  }
}
