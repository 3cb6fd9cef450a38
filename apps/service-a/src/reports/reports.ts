import { BadRequestException, NotFoundException } from '@nestjs/common';
import type { CreateReportBody, ListReportsQuery, Report, ReportPage, Verdict } from '#contracts';
import type { SignedCursors } from '../signed-cursors.js';
import type { ReportStore } from './report-store.js';
import type { Once, RepeatedReports } from './repeated-reports.js';

/** The reports, as the holder of an API key may see and write them. */
export class Reports {
  constructor(
    private readonly store: ReportStore,
    private readonly cursors: SignedCursors,
    private readonly repeated: RepeatedReports,
  ) {}

  /** @throws BadRequestException INVALID_CURSOR */
  list({ limit, cursor }: ListReportsQuery, by: Verdict): ReportPage {
    const consumer = by.consumer ?? '';
    const below = cursor === undefined ? undefined : this.cursors.numberIn(cursor, consumer);
    if (below === null)
      throw new BadRequestException('Use nextCursor as the page before gave it', {
        errorCode: 'INVALID_CURSOR',
      });
    const { data, next } = this.store.list({ limit, below });
    return { data, nextCursor: next === null ? null : this.cursors.of(next, consumer) };
  }

  /** @throws NotFoundException */
  find(id: string): Report {
    const report = this.store.find(id);
    if (report !== null) return report;
    throw new NotFoundException('There is no report with this id', { errorCode: 'NOT_FOUND' });
  }

  /** @throws ProblemException IDEMPOTENCY_KEY_REUSED */
  create({ title }: CreateReportBody, by: Verdict, once: Once | null): Report {
    return this.repeated.run(once, by.keyId ?? '', () => this.store.add(title));
  }
}
