import {
  Body,
  Controller,
  Get,
  Param,
  Post,
  Query,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { z } from 'zod';
import {
  createReportBody,
  listReportsQuery,
  report,
  reportPage,
  type CreateReportBody,
  type ListReportsQuery,
  type Report,
  type ReportPage,
  type Verdict,
} from '#contracts';
import { Public } from '#jwt-guard';
import { ApiKey, KeyGuard, RequireScope } from '#key-guard';
import { ApiOperation, ApiResponse, ApiTags, Repeatable } from '#server';
import { OnceOf, type Once } from './repeated-reports.js';
import { REPORTS_READ, REPORTS_WRITE } from './report-scopes.js';
import { Reports } from './reports.js';
import { TaggedInterceptor } from './tagged.interceptor.js';

const reportId = z.string().max(64);

/** The protected resource: open to API keys only. */
@ApiTags('Reports')
@Public()
@UseGuards(KeyGuard)
@Controller('v1/reports')
export class ReportsController {
  constructor(private readonly reports: Reports) {}

  @Get()
  @RequireScope(REPORTS_READ)
  @ApiOperation({ summary: 'List reports, the newest first' })
  @ApiResponse({ status: 200, standardSchema: reportPage })
  list(
    @Query({ schema: listReportsQuery }) query: ListReportsQuery,
    @ApiKey() by: Verdict,
  ): ReportPage {
    return this.reports.list(query, by);
  }

  @Get(':id')
  @RequireScope(REPORTS_READ)
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Read a report' })
  @ApiResponse({ status: 200, standardSchema: report })
  find(@Param('id', { schema: reportId }) id: string): Report {
    return this.reports.find(id);
  }

  @Post()
  @RequireScope(REPORTS_WRITE)
  @Repeatable()
  @UseInterceptors(TaggedInterceptor)
  @ApiOperation({ summary: 'Write a report' })
  @ApiResponse({ status: 201, standardSchema: report })
  create(
    @Body({ schema: createReportBody }) body: CreateReportBody,
    @ApiKey() by: Verdict,
    @OnceOf() once: Once | null,
  ): Report {
    return this.reports.create(body, by, once);
  }
}
