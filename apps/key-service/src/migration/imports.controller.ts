import {
  Body,
  Controller,
  Get,
  Headers,
  HttpCode,
  Param,
  Patch,
  Post,
  Query,
  UseInterceptors,
} from '@nestjs/common';
import {
  createImportBody,
  importedKeys,
  importId,
  importList,
  importPage,
  keyImport,
  listImportsQuery,
  moveImportsBody,
  parityReport,
  patchImportBody,
  type CreateImportBody,
  type ListImportsQuery,
  type MoveImportsBody,
  type PatchImportBody,
} from '#contracts';
import { ApiHeader, ApiOperation, ApiResponse, ApiTags, Repeatable } from '#server';
import { By } from '../access/by.js';
import { Audited, Managed } from '../access/managed.js';
import type { Principal } from '../access/principal.js';
import { TaggedInterceptor } from '../catalog/tagged.interceptor.js';
import { PropagationInterceptor } from '../changes/propagation.interceptor.js';
import { SentBy, type Sender } from '../idempotency/once.js';
import { Imports } from './imports.js';

/** Path of the route that takes large bodies. */
export const IMPORTS_PATH = '/v1/imports';

/** Keys that other platforms have made, on their way here or back. */
@ApiTags('Imports')
@Controller(IMPORTS_PATH.slice(1))
export class ImportsController {
  constructor(private readonly imports: Imports) {}

  @Post()
  @HttpCode(200)
  @Managed()
  @Repeatable()
  @ApiOperation({
    summary: 'Import up to 1,000 keys by their hashes; each item has a result of its own',
  })
  @ApiResponse({ status: 200, standardSchema: importedKeys })
  create(
    @Body({ schema: createImportBody }) body: CreateImportBody,
    @SentBy() { by, once }: Sender,
  ) {
    return this.imports.create(body, by, once);
  }

  @Get()
  @Audited()
  @ApiOperation({ summary: 'List imports, the oldest first' })
  @ApiResponse({ status: 200, standardSchema: importPage })
  list(@Query({ schema: listImportsQuery }) query: ListImportsQuery, @By() by: Principal) {
    return this.imports.list(query, by);
  }

  @Post('move')
  @HttpCode(200)
  @Managed()
  @UseInterceptors(PropagationInterceptor)
  @ApiOperation({
    summary:
      'Say which side counts for a service: move all its imports on, or back, in one operation; the comparison of both begins anew',
  })
  @ApiResponse({ status: 200, standardSchema: importList })
  moveAll(@Body({ schema: moveImportsBody }) body: MoveImportsBody, @By() by: Principal) {
    return this.imports.moveAll(body, by);
  }

  @Get(':id')
  @Audited()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Read an import and how far it is' })
  @ApiResponse({ status: 200, standardSchema: keyImport })
  read(@Param('id', { schema: importId }) id: string, @By() by: Principal) {
    return this.imports.read(id, by);
  }

  @Patch(':id')
  @Managed()
  @UseInterceptors(TaggedInterceptor, PropagationInterceptor)
  @ApiOperation({
    summary:
      'Say which side counts for the keys of one import: move on, or back; the comparison of both begins anew',
  })
  @ApiHeader({
    name: 'If-Match',
    required: false,
    description: 'The ETag of the version to move',
  })
  @ApiResponse({ status: 200, standardSchema: keyImport })
  move(
    @Param('id', { schema: importId }) id: string,
    @Body({ schema: patchImportBody }) { mode }: PatchImportBody,
    @By() by: Principal,
    @Headers('if-match') ifMatch: string | undefined,
  ) {
    return this.imports.move(id, mode, { by, ifMatch });
  }

  @Get(':id/parity')
  @Audited()
  @ApiOperation({ summary: 'Compare what the old side and the platform have decided' })
  @ApiResponse({ status: 200, standardSchema: parityReport })
  parity(@Param('id', { schema: importId }) id: string, @By() by: Principal) {
    return this.imports.parity(id, by);
  }
}
