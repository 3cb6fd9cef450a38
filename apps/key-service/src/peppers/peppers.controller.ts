import { Controller, Get, Inject, NotFoundException } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { pepperReport, type PepperReport } from '#contracts';
import { ApiOperation, ApiResponse, ApiTags } from '#server';
import { By } from '../access/by.js';
import { Audited } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { readPepperUse } from './pepper-use.js';

/** Peppers on their way out. */
@ApiTags('Peppers')
@Controller('v1/peppers')
export class PeppersController {
  constructor(
    private readonly db: DataSource,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  @Get()
  @Audited()
  @ApiOperation({
    summary: 'Count the live keys of each pepper version',
    description:
      'For admins and auditors of all services. A version of which no key and no import is left may be taken out of KEY_PEPPERS.',
  })
  @ApiResponse({ status: 200, standardSchema: pepperReport })
  read(@By() by: Principal): Promise<PepperReport> {
    if (by.services !== null)
      throw new NotFoundException('There is nothing here', { errorCode: 'NOT_FOUND' });
    const { peppers, now } = this.material;
    return readPepperUse(this.db.manager, peppers, new Date(now()));
  }
}
