import {
  Body,
  Controller,
  Get,
  Headers,
  HttpCode,
  Param,
  Post,
  UseInterceptors,
} from '@nestjs/common';
import {
  changedKey,
  extendRotationBody,
  finishRotationBody,
  keyId,
  rotationStatus,
  type ExtendRotationBody,
  type FinishRotationBody,
} from '#contracts';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags } from '#server';
import { By } from '../access/by.js';
import { Audited, Managed } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { TaggedInterceptor } from '../catalog/tagged.interceptor.js';
import { Rotations } from './rotations.js';

const ifMatchHeader = {
  name: 'If-Match',
  required: false,
  description: 'The ETag of the version that is meant',
};

/** The time in which a key has two secrets. */
@ApiTags('Keys')
@Controller('v1/keys/:id/rotation')
export class RotationController {
  constructor(private readonly rotations: Rotations) {}

  @Get()
  @Audited()
  @ApiOperation({
    summary: 'Tell whether the old secret of a key is still used',
    description:
      'It is safe to retire where it has ended, or where nobody has presented it for five minutes and since the rotation, and the new secret is in ' +
      'use (or the old one never was). Without a rotation `previous` is null and nothing is left to retire.',
  })
  @ApiResponse({ status: 200, standardSchema: rotationStatus })
  status(@Param('id', { schema: keyId }) id: string, @By() by: Principal) {
    return this.rotations.status(id, by);
  }

  @Post('finish')
  @HttpCode(200)
  @Managed()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'End the old secret of a key now' })
  @ApiHeader(ifMatchHeader)
  @ApiResponse({ status: 200, standardSchema: changedKey })
  finish(
    @Param('id', { schema: keyId }) id: string,
    @Body({ schema: finishRotationBody.prefault({}) }) body: FinishRotationBody,
    @By() by: Principal,
    @Headers('if-match') ifMatch: string | undefined,
  ) {
    return this.rotations.finish({ id, body, ifMatch }, by);
  }

  @Post('extend')
  @HttpCode(200)
  @Managed()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Move the end of the old secret of a key, counted from now' })
  @ApiHeader(ifMatchHeader)
  @ApiResponse({ status: 200, standardSchema: changedKey })
  extend(
    @Param('id', { schema: keyId }) id: string,
    @Body({ schema: extendRotationBody }) body: ExtendRotationBody,
    @By() by: Principal,
    @Headers('if-match') ifMatch: string | undefined,
  ) {
    return this.rotations.extend({ id, body, ifMatch }, by);
  }
}
