import {
  Body,
  Controller,
  Get,
  Headers,
  HttpCode,
  Post,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import {
  changedKey,
  key,
  repeatedRotatedKey,
  revokeKeyBody,
  rotateOwnKeyBody,
  type RevokeKeyBody,
  type RotateOwnKeyBody,
} from '#contracts';
import { Public } from '#jwt-guard';
import { ApiHeader, ApiOperation, ApiResponse, ApiSecurity, ApiTags, Repeatable } from '#server';
import { By } from '../access/by.js';
import type { Principal } from '../access/principal.js';
import { TaggedInterceptor } from '../catalog/tagged.interceptor.js';
import { PropagationInterceptor } from '../changes/propagation.interceptor.js';
import { SentBy, type Sender } from '../idempotency/once.js';
import { Keys } from '../keys/keys.js';
import { heldKey } from './holder.js';
import { HolderGuard } from './holder.guard.js';

/** What the holder of a key may do with it, by the key itself. */
@ApiTags('Self')
@ApiSecurity('apiKey')
@Controller('v1/self')
@Public()
@UseGuards(HolderGuard)
@UseInterceptors(TaggedInterceptor)
export class SelfController {
  constructor(private readonly keys: Keys) {}

  @Get()
  @ApiOperation({ summary: 'Read the key that is presented' })
  @ApiResponse({ status: 200, standardSchema: key })
  read(@By() by: Principal) {
    return this.keys.read(heldKey(by), by);
  }

  @Post('rotate')
  @HttpCode(200)
  @Repeatable()
  @UseInterceptors(PropagationInterceptor)
  @ApiOperation({
    summary: 'Give the key that is presented a new secret',
    description:
      'With `overlapSeconds: 0` the presented secret ends at once: where the answer is lost, only an admin can help. Leave an overlap to be able to ask again.',
  })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The ETag of the version to rotate',
  })
  @ApiResponse({ status: 200, standardSchema: repeatedRotatedKey })
  rotate(
    @Body({ schema: rotateOwnKeyBody.prefault({}) }) body: RotateOwnKeyBody,
    @SentBy() { by, once }: Sender,
    @Headers('if-match') ifMatch: string | undefined,
  ) {
    return this.keys.rotate({ id: heldKey(by), body, ifMatch }, by, once);
  }

  @Post('revoke')
  @HttpCode(200)
  @ApiOperation({ summary: 'Revoke the key that is presented, for good' })
  @ApiResponse({ status: 200, standardSchema: changedKey })
  revoke(@Body({ schema: revokeKeyBody }) body: RevokeKeyBody, @By() by: Principal) {
    return this.keys.revoke(heldKey(by), body, by);
  }
}
