import { Body, Controller, Header, HttpCode, Inject, Post, Res } from '@nestjs/common';
import { type FastifyReply } from 'fastify';
import { verdict, verifyBody, type Verdict, type VerifyBody } from '#contracts';
import { TokenScopes } from '#jwt-guard';
import { KEY_GUARD, VerificationUnavailable, type KeyGuardCore } from '#key-guard';
import { ApiOperation, ApiResponse, ApiTags, ProblemException } from '#server';
import { SERVICE } from '../provisioning/key-provisioner.js';

/** Path of this service's own validation endpoint; its bodies hold keys. */
export const OWN_VERIFY_PATH = '/v1/keys/verify';

/** This service's own validation endpoint, where it manages its own keys. */
@ApiTags('Validation')
@Controller()
export class ValidationController {
  constructor(@Inject(KEY_GUARD) private readonly guard: KeyGuardCore) {}

  @Post(OWN_VERIFY_PATH)
  @HttpCode(200)
  @Header('cache-control', 'no-store')
  @TokenScopes('keys:verify')
  @ApiOperation({ summary: 'Say whether a key of this service may do what is asked' })
  @ApiResponse({ status: 200, standardSchema: verdict })
  async verify(
    @Body({ schema: verifyBody }) body: VerifyBody,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Verdict> {
    // a lease holds by the key service's change feed, which tells nothing of what is done here
    const { key, service = SERVICE, lease: _, ...rest } = body;
    if (service !== SERVICE)
      throw new ProblemException('FORBIDDEN', 'Keys for this service only are known here');
    try {
      return await this.guard.verify({ key, ...rest });
    } catch (error) {
      if (!(error instanceof VerificationUnavailable)) throw error;
      void reply.header('retry-after', '1');
      const detail = 'Nobody can decide on this key at present; try again shortly';
      throw new ProblemException('VERIFICATION_UNAVAILABLE', detail, { cause: error });
    }
  }
}
