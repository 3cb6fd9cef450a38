import {
  Body,
  Controller,
  Get,
  Headers,
  HttpCode,
  Param,
  Patch,
  Post,
  Query,
  UseInterceptors,
} from '@nestjs/common';
import {
  createUserBody,
  listUsersQuery,
  patchUserBody,
  setPasswordBody,
  user,
  userId,
  userPage,
  type CreateUserBody,
  type ListUsersQuery,
  type PatchUserBody,
  type SetPasswordBody,
  type User,
} from '#contracts';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags, Repeatable } from '#server';
import { ByAdmin, FullAdmin, type By } from '../full-admin.js';
import { SentByAdmin, type Sender } from '../idempotency/once.js';
import { TaggedInterceptor } from '../tagged.interceptor.js';
import { Users } from './users.js';

const TAGGED = new TaggedInterceptor(({ id, version }: User) => ({
  version,
  path: `/v1/users/${id}`,
}));

/** People. */
@ApiTags('Users')
@Controller('v1/users')
@FullAdmin()
export class UsersController {
  constructor(private readonly users: Users) {}

  @Post()
  @Repeatable()
  @UseInterceptors(TAGGED)
  @ApiOperation({ summary: 'Add a user' })
  @ApiResponse({ status: 201, standardSchema: user })
  create(
    @Body({ schema: createUserBody }) body: CreateUserBody,
    @SentByAdmin() by: Sender,
  ): Promise<User> {
    return this.users.create(body, by);
  }

  @Get()
  @ApiOperation({ summary: 'List users' })
  @ApiResponse({ status: 200, standardSchema: userPage })
  list(@Query({ schema: listUsersQuery }) query: ListUsersQuery) {
    return this.users.list(query);
  }

  @Get(':id')
  @UseInterceptors(TAGGED)
  @ApiOperation({ summary: 'Read a user' })
  @ApiResponse({ status: 200, standardSchema: user })
  read(@Param('id', { schema: userId }) id: string): Promise<User> {
    return this.users.read(id);
  }

  @Patch(':id')
  @UseInterceptors(TAGGED)
  @ApiOperation({ summary: 'Change roles or services, enable or disable; ends all sessions' })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The ETag of the version to change',
  })
  @ApiResponse({ status: 200, standardSchema: user })
  patch(
    @Param('id', { schema: userId }) id: string,
    @Body({ schema: patchUserBody }) body: PatchUserBody,
    @ByAdmin() by: By,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<User> {
    return this.users.patch(id, body, { ...by, ifMatch });
  }

  @Post(':id/password')
  @HttpCode(204)
  @ApiOperation({ summary: 'Set a password; ends all sessions' })
  @ApiResponse({ status: 204, description: 'Set' })
  setPassword(
    @Param('id', { schema: userId }) id: string,
    @Body({ schema: setPasswordBody }) body: SetPasswordBody,
    @ByAdmin() by: By,
  ): Promise<void> {
    return this.users.setPassword(id, body, by);
  }

  @Post(':id/sessions/revoke')
  @HttpCode(204)
  @ApiOperation({ summary: 'End all sessions of a user' })
  @ApiResponse({ status: 204, description: 'Ended' })
  endSessions(@Param('id', { schema: userId }) id: string, @ByAdmin() by: By): Promise<void> {
    return this.users.endSessions(id, by);
  }
}
