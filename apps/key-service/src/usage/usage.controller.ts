import { Controller, Get, Inject, Query } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { usageQuery, usageReport, type UsageQuery, type UsageReport } from '#contracts';
import { ApiOperation, ApiResponse, ApiTags } from '#server';
import { By } from '../access/by.js';
import { Audited } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { readUsage } from './read-usage.js';

/** How keys are used. */
@ApiTags('Usage')
@Controller('v1/usage')
export class UsageController {
  constructor(
    private readonly db: DataSource,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  @Get()
  @Audited()
  @ApiOperation({
    summary: 'Count verifications by outcome in each minute, hour or day',
    description:
      'The range is widened to whole periods in UTC and spans at most 2,000 of them. Periods in which nothing was counted are left out. ' +
      'Minutes are kept for 14 days, hours for 400; counts are at most two seconds late.',
  })
  @ApiResponse({ status: 200, standardSchema: usageReport })
  read(
    @Query({ schema: usageQuery }) query: UsageQuery,
    @By() by: Principal,
  ): Promise<UsageReport> {
    return readUsage(this.db.manager, query, { by, nowMs: this.material.now() });
  }
}
