import { Controller, Get, Inject, Req } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';
import { summary, traceHeaders, type ReportPage, type Summary } from '#contracts';
import { Authenticated } from '#jwt-guard';
import { ApiOperation, ApiResponse, ApiTags } from '#server';
import { type ReportsClient } from './reports.client.js';

/** Injection token of the {@link ReportsClient}. */
export const REPORTS_CLIENT = Symbol('ReportsClient');

/** What this service makes of service-a's reports, for any user. */
@ApiTags('Summary')
@Controller('v1/summary')
export class SummaryController {
  constructor(@Inject(REPORTS_CLIENT) private readonly reports: ReportsClient) {}

  @Get()
  @Authenticated()
  @ApiOperation({ summary: 'Sum up the newest reports of service-a, 200 at most' })
  @ApiResponse({ status: 200, standardSchema: summary })
  async read(@Req() request: FastifyRequest): Promise<Summary> {
    return summaryOf(await this.reports.newest(traceHeaders(request)));
  }
}

function summaryOf({ data }: ReportPage): Summary {
  const titles = data.map((one) => one.title);
  return { reports: titles.length, latest: titles[0] ?? null, titles };
}
