import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { revokedKeys, revokeKeysBody, type RevokeKeysBody } from '#contracts';
import { ApiOperation, ApiResponse, ApiTags } from '#server';
import { By } from '../access/by.js';
import { Managed } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { Keys } from './keys.js';

/** Many keys at once. */
@ApiTags('Keys')
@Controller('v1/keys')
export class RevokeKeysController {
  constructor(private readonly keys: Keys) {}

  @Post('revoke')
  @HttpCode(200)
  @Managed()
  @ApiOperation({
    summary: 'Revoke all keys that fit a filter, in one operation',
    description:
      'Those that are revoked already keep their reason and are not counted. A consumer, service or import that does not exist is 400; `matched: 0` says that there is no key left that fits.',
  })
  @ApiResponse({ status: 200, standardSchema: revokedKeys })
  revoke(@Body({ schema: revokeKeysBody }) body: RevokeKeysBody, @By() by: Principal) {
    return this.keys.revokeAll(body, by);
  }
}
