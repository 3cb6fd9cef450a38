import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import type { Logger } from 'pino';
import {
  rotatedSigningKey,
  rotateSigningKeyBody,
  type RotatedSigningKey,
  type RotateSigningKeyBody,
} from '#contracts';
import { ApiOperation, ApiResponse, ApiTags } from '#server';
import { ByAdmin, FullAdmin, type By } from '../full-admin.js';
import { LOG } from '../injection.js';
import { securityEvent } from '../security-events.js';
import { TokenKeys } from './token-keys.js';

/** Roll-over of the keys of access tokens. */
@ApiTags('Signing keys')
@Controller('v1/signing-keys')
@FullAdmin()
export class SigningKeysController {
  constructor(
    private readonly keys: TokenKeys,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  @Post('rotate')
  @HttpCode(200)
  @ApiOperation({
    summary:
      'Sign with the next key; tokens of the old one stay good, but of a compromised one they end',
  })
  @ApiResponse({ status: 200, standardSchema: rotatedSigningKey })
  async rotate(
    @Body({ schema: rotateSigningKeyBody }) { compromised }: RotateSigningKeyBody,
    @ByAdmin() { admin, from }: By,
  ): Promise<RotatedSigningKey> {
    const kid = await this.keys.rotate(compromised);
    const reason = compromised ? 'compromised' : 'rotation';
    securityEvent(this.log, 'signing-key.rotated', { actor: admin.sub, kid, reason, ...from });
    return { kid };
  }
}
