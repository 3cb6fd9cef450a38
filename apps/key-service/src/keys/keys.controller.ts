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
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import {
  changedKey,
  createKeyBody,
  key,
  keyId,
  keyPage,
  listKeysQuery,
  patchKeyBody,
  repeatedIssuedKey,
  repeatedRotatedKey,
  revokeKeyBody,
  rotateKeyBody,
  type CreateKeyBody,
  type IssuedKey,
  type ListKeysQuery,
  type PatchKeyBody,
  type RevokeKeyBody,
  type RotateKeyBody,
} from '#contracts';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags, Repeatable } from '#server';
import { By } from '../access/by.js';
import { Audited, Managed } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { TaggedInterceptor } from '../catalog/tagged.interceptor.js';
import { PropagationInterceptor } from '../changes/propagation.interceptor.js';
import { SentBy, type Sender } from '../idempotency/once.js';
import { CreationRateGuard } from './creation-rate.guard.js';
import { Keys } from './keys.js';
import { LocatedInterceptor } from '../catalog/located.interceptor.js';

/** Keys: their life as admins rule it. */
@ApiTags('Keys')
@Controller('v1/keys')
export class KeysController {
  constructor(private readonly keys: Keys) {}

  @Post()
  // guards run from below: it needs to know who asks
  @UseGuards(CreationRateGuard)
  @Managed()
  @Repeatable()
  @UseInterceptors(
    TaggedInterceptor,
    new LocatedInterceptor(({ key: { id } }: IssuedKey) => `/v1/keys/${id}`),
  )
  @ApiOperation({ summary: 'Issue a key; its secret is in this answer and nowhere else' })
  @ApiResponse({ status: 201, standardSchema: repeatedIssuedKey })
  issue(@Body({ schema: createKeyBody }) body: CreateKeyBody, @SentBy() { by, once }: Sender) {
    return this.keys.issue(body, by, once);
  }

  @Get()
  @Audited()
  @ApiOperation({ summary: 'List keys, the newest first' })
  @ApiResponse({ status: 200, standardSchema: keyPage })
  list(@Query({ schema: listKeysQuery }) query: ListKeysQuery, @By() by: Principal) {
    return this.keys.list(query, by);
  }

  @Get(':id')
  @Audited()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Read a key' })
  @ApiResponse({ status: 200, standardSchema: key })
  read(@Param('id', { schema: keyId }) id: string, @By() by: Principal) {
    return this.keys.read(id, by);
  }

  @Patch(':id')
  @Managed()
  @UseInterceptors(TaggedInterceptor, PropagationInterceptor)
  @ApiOperation({ summary: 'Change a key' })
  @ApiHeader({ name: 'If-Match', required: true, description: 'The ETag of the version to change' })
  @ApiResponse({ status: 200, standardSchema: key })
  patch(
    @Param('id', { schema: keyId }) id: string,
    @Body({ schema: patchKeyBody }) body: PatchKeyBody,
    @By() by: Principal,
    @Headers('if-match') ifMatch: string | undefined,
  ) {
    return this.keys.patch({ id, body, ifMatch }, by);
  }

  @Post(':id/rotate')
  @HttpCode(200)
  @Managed()
  @Repeatable()
  @UseInterceptors(TaggedInterceptor, PropagationInterceptor)
  @ApiOperation({ summary: 'Give a key a new secret; it is in this answer and nowhere else' })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The ETag of the version to rotate',
  })
  @ApiResponse({ status: 200, standardSchema: repeatedRotatedKey })
  rotate(
    @Param('id', { schema: keyId }) id: string,
    @Body({ schema: rotateKeyBody.prefault({}) }) body: RotateKeyBody,
    @SentBy() { by, once }: Sender,
    @Headers('if-match') ifMatch: string | undefined,
  ) {
    return this.keys.rotate({ id, body, ifMatch }, by, once);
  }

  @Post(':id/revoke')
  @HttpCode(200)
  @Managed()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({
    summary: 'Revoke a key for good',
    description:
      'One that is revoked already stays as it was: the answer shows the reason that was given first.',
  })
  @ApiResponse({ status: 200, standardSchema: changedKey })
  revoke(
    @Param('id', { schema: keyId }) id: string,
    @Body({ schema: revokeKeyBody }) body: RevokeKeyBody,
    @By() by: Principal,
  ) {
    return this.keys.revoke(id, body, by);
  }

  @Post(':id/disable')
  @HttpCode(200)
  @Managed()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Disable a key until it is enabled again' })
  @ApiResponse({ status: 200, standardSchema: changedKey })
  disable(@Param('id', { schema: keyId }) id: string, @By() by: Principal) {
    return this.keys.switch(id, 'disabled', by);
  }

  @Post(':id/enable')
  @HttpCode(200)
  @Managed()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Enable a key that was disabled' })
  @ApiResponse({ status: 200, standardSchema: changedKey })
  enable(@Param('id', { schema: keyId }) id: string, @By() by: Principal) {
    return this.keys.switch(id, 'active', by);
  }
}
