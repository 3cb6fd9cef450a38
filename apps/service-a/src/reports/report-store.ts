import { randomBytes } from 'node:crypto';
import type { Report } from '#contracts';

/** The demo data of this service, kept in memory: at most 1,000 reports, of which the oldest go first. */
export interface ReportStore {
  /**
   * Reports from the newest on, below a number where one is given.
   *
   * @returns the reports, and the number below which the next page starts; null where this is the last
   */
  list(query: { limit: number; below?: number | undefined }): {
    data: Report[];
    next: number | null;
  };
  find(id: string): Report | null;
  add(title: string): Report;
}

const MAX_REPORTS = 1_000;
const FIRST_TITLES = ['Opening balance', 'Sales of the first quarter', 'Stock at mid-year'];

/** A store with three reports in it. */
export function createReportStore(now: () => Date = () => new Date()): ReportStore {
  /** By number, which only grows; a Map keeps them in that order. */
  const reports = new Map<number, Report>();
  let last = 0;
  const add = (title: string): Report => {
    const id = `rpt_${randomBytes(8).toString('hex')}`;
    const report = { id, title, createdAt: now().toISOString() };
    reports.set((last += 1), report);
    reports.delete(last - MAX_REPORTS);
    return report;
  };
  FIRST_TITLES.forEach(add);

  return {
    add,
    find: (id) => [...reports.values()].find((one) => one.id === id) ?? null,
    list: ({ limit, below = last + 1 }) => {
      const older = [...reports].filter(([number]) => number < below).toReversed();
      const shown = older.slice(0, limit);
      return {
        data: shown.map(([, report]) => report),
        next: older.length > shown.length ? shown.at(-1)![0] : null,
      };
    },
  };
}
