import { Controller, HttpCode, Inject, Post } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { Logger } from 'pino';
import { rotatedSigningKey, type RotatedSigningKey } from '#contracts';
import { ByAdmin, FullAdmin, type By } from '../full-admin.js';
import { LOG } from '../injection.js';
import { securityEvent } from '../security-events.js';
import { SigningKeys } from './signing-keys.js';

/** Roll-over of the keys of access tokens. */
@ApiTags('Signing keys')
@Controller('v1/signing-keys')
@FullAdmin()
export class SigningKeysController {
  constructor(
    private readonly keys: SigningKeys,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  @Post('rotate')
  @HttpCode(200)
  @ApiOperation({ summary: 'Sign with the next key; tokens of the old one stay good' })
  @ApiResponse({ status: 200, standardSchema: rotatedSigningKey })
  async rotate(@ByAdmin() { admin, from }: By): Promise<RotatedSigningKey> {
    const kid = await this.keys.rotate();
    securityEvent(this.log, 'signing-key.rotated', { actor: admin.sub, kid, ...from });
    return { kid };
  }
}
