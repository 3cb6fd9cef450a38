import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { explainBody, explanation, keyId, type ExplainBody, type Explanation } from '#contracts';
import { ApiOperation, ApiResponse, ApiTags, ReadsOnly } from '#server';
import { By } from '../access/by.js';
import { Audited } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { Explainer } from './explainer.js';

/** Why a key is let through or refused. */
@ApiTags('Keys')
@Controller('v1/keys')
export class ExplainController {
  constructor(private readonly explainer: Explainer) {}

  @Post(':id/explain')
  @HttpCode(200)
  @Audited()
  @ReadsOnly()
  @ApiOperation({ summary: 'Explain what a verification would decide; spends nothing' })
  @ApiResponse({ status: 200, standardSchema: explanation })
  explain(
    @Param('id', { schema: keyId }) id: string,
    @Body({ schema: explainBody }) body: ExplainBody,
    @By() by: Principal,
  ): Promise<Explanation> {
    return this.explainer.explain(id, body, by);
  }
}
