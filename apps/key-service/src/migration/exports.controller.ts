import { Readable } from 'node:stream';
import { Body, Controller, Get, HttpCode, Post, StreamableFile } from '@nestjs/common';
import { createExportBody, exportKeys, type CreateExportBody } from '#contracts';
import { Public } from '#jwt-guard';
import { ApiOperation, ApiResponse, ApiTags } from '#server';
import { By } from '../access/by.js';
import { Managed } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { Exports } from './exports.js';

/** Keys on their way to a service that takes them over. */
@ApiTags('Exports')
@Controller('v1/exports')
export class ExportsController {
  constructor(private readonly exports: Exports) {}

  @Post()
  @HttpCode(200)
  @Managed()
  @ApiOperation({
    summary: "Export a service's keys and policy as signed lines, without any key's text",
  })
  @ApiResponse({
    status: 200,
    description: 'Lines of JSON',
    content: { 'application/x-ndjson': {} },
  })
  async create(@Body({ schema: createExportBody }) body: CreateExportBody, @By() by: Principal) {
    const lines = await this.exports.create(body, by);
    return new StreamableFile(Readable.from(lines), { type: 'application/x-ndjson' });
  }

  @Get('keys')
  @Public()
  @ApiOperation({ summary: 'The public keys that exports are signed with' })
  @ApiResponse({ status: 200, standardSchema: exportKeys })
  keys() {
    return this.exports.keys();
  }
}
