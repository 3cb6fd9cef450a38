import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Inject,
  NotFoundException,
  Param,
  Post,
  Query,
  UseGuards,
} from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
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
} from '#contracts';
import { Public } from '#jwt-guard';
import { KeyGuard, RequireScope } from '#key-guard';
import { type ReportStore } from './report-store.js';

/** Injection token of the {@link ReportStore}. */
export const REPORT_STORE = Symbol('ReportStore');

const reportId = z.string().max(64);

/** The protected resource: open to API keys only. */
@ApiTags('reports')
@Public()
@UseGuards(KeyGuard)
@Controller('v1/reports')
export class ReportsController {
  constructor(@Inject(REPORT_STORE) private readonly reports: ReportStore) {}

  @Get()
  @RequireScope('reports:read')
  @ApiOperation({ summary: 'List reports, the newest first' })
  @ApiResponse({ status: 200, standardSchema: reportPage })
  list(@Query({ schema: listReportsQuery }) query: ListReportsQuery): ReportPage {
    return this.reports.list(query) ?? refuseCursor();
  }

  @Get(':id')
  @RequireScope('reports:read')
  @ApiOperation({ summary: 'Read a report' })
  @ApiResponse({ status: 200, standardSchema: report })
  find(@Param('id', { schema: reportId }) id: string): Report {
    return this.reports.find(id) ?? missReport();
  }

  @Post()
  @RequireScope('reports:write')
  @ApiOperation({ summary: 'Write a report' })
  @ApiResponse({ status: 201, standardSchema: report })
  create(@Body({ schema: createReportBody }) body: CreateReportBody): Report {
    return this.reports.add(body.title);
  }
}

function refuseCursor(): never {
  throw new BadRequestException('Use nextCursor as the page before gave it', {
    errorCode: 'INVALID_CURSOR',
  });
}

function missReport(): never {
  throw new NotFoundException('There is no report with this id', { errorCode: 'NOT_FOUND' });
}
