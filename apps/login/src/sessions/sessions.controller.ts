import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import {
  changePasswordBody,
  loginBody,
  me,
  refreshBody,
  tokenPair,
  type ChangePasswordBody,
  type Claims,
  type LoginBody,
  type Me,
  type RefreshBody,
  type TokenPair,
} from '#contracts';
import { Caller, Public, Roles } from '#jwt-guard';
import { ApiOperation, ApiResponse, ApiTags } from '#server';
import { From } from '../from.js';
import type { Origin } from '../security-events.js';
import { Limited } from './limits.guard.js';
import { OwnPassword } from '../users/own-password.js';
import { Sessions } from './sessions.js';

/** Password in, tokens out. */
@ApiTags('Sessions')
@Controller('v1')
export class SessionsController {
  constructor(
    private readonly sessions: Sessions,
    private readonly ownPassword: OwnPassword,
  ) {}

  @Post('login')
  @Public()
  @Limited('login-by-address', 'login-by-account')
  @HttpCode(200)
  @ApiOperation({ summary: 'Log in' })
  @ApiResponse({ status: 200, standardSchema: tokenPair })
  login(@Body({ schema: loginBody }) body: LoginBody, @From() from: Origin): Promise<TokenPair> {
    return this.sessions.login(body, from);
  }

  @Post('token/refresh')
  @Public()
  @Limited('tokens-by-address')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Spend a refresh token for new tokens; using one twice ends the session',
  })
  @ApiResponse({ status: 200, standardSchema: tokenPair })
  refresh(
    @Body({ schema: refreshBody }) { refreshToken }: RefreshBody,
    @From() from: Origin,
  ): Promise<TokenPair> {
    return this.sessions.refresh(refreshToken, from);
  }

  @Post('logout')
  @Public()
  @Limited('tokens-by-address')
  @HttpCode(204)
  @ApiOperation({ summary: 'End the session of a refresh token' })
  @ApiResponse({ status: 204, description: 'Ended, if there was one' })
  logout(
    @Body({ schema: refreshBody }) { refreshToken }: RefreshBody,
    @From() from: Origin,
  ): Promise<void> {
    return this.sessions.logout(refreshToken, from);
  }

  @Post('logout-all')
  @Roles('admin', 'auditor', 'user')
  @HttpCode(204)
  @ApiOperation({ summary: 'End all sessions of the caller' })
  @ApiResponse({ status: 204, description: 'Ended' })
  logoutAll(@Caller() caller: Claims, @From() from: Origin): Promise<void> {
    return this.sessions.logoutAll(caller, from);
  }

  @Get('me')
  @Roles('admin', 'auditor', 'user')
  @ApiOperation({ summary: 'Who the access token says' })
  @ApiResponse({ status: 200, standardSchema: me })
  me(@Caller() caller: Claims): Me {
    return this.sessions.me(caller);
  }

  @Post('me/password')
  @Roles('admin', 'auditor', 'user')
  @Limited('login-by-address', 'login-by-account')
  @HttpCode(204)
  @ApiOperation({ summary: 'Change the own password; ends all other sessions' })
  @ApiResponse({ status: 204, description: 'Changed' })
  changePassword(
    @Body({ schema: changePasswordBody }) body: ChangePasswordBody,
    @Caller() caller: Claims,
    @From() from: Origin,
  ): Promise<void> {
    return this.ownPassword.change(body, caller, from);
  }
}
