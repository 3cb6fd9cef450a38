import { Controller, Get, Inject } from '@nestjs/common';
import { keyInUse, type KeyInUse } from '#contracts';
import { Roles } from '#jwt-guard';
import { describeKey, type SecretProvider } from '#key-client';
import { ApiOperation, ApiResponse, ApiTags, ProblemException } from '#server';

/** Injection token of the {@link SecretProvider}. */
export const SECRET_PROVIDER = Symbol('SecretProvider');

/** Which key this service uses, for those who replace it; never the key. */
@ApiTags('Keys')
@Controller('v1/key-status')
export class KeyStatusController {
  constructor(@Inject(SECRET_PROVIDER) private readonly secret: SecretProvider) {}

  @Get()
  @Roles('admin')
  @ApiOperation({
    summary: 'Tell which key and secret this service uses, where from, and since when',
  })
  @ApiResponse({ status: 200, standardSchema: keyInUse })
  async read(): Promise<KeyInUse> {
    const text = await this.secret.read().catch((cause: unknown) => {
      const detail = `The key cannot be read (${this.secret.source}); see the log`;
      throw new ProblemException('SERVICE_UNAVAILABLE', detail, {
        headers: { 'retry-after': '1' },
        cause,
      });
    });
    const { keyId, secretVersion } = text === null ? NO_KEY : describeKey(text);
    return {
      configured: text !== null,
      keyId,
      secretVersion,
      source: this.secret.source,
      refreshedAt: this.secret.refreshedAt()?.toISOString() ?? null,
    };
  }
}

const NO_KEY = { keyId: null, secretVersion: null };
