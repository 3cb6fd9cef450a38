import { randomBytes } from 'node:crypto';
import type { Report, ReportPage } from '#contracts';

/** The demo data of this service, kept in memory: at most 1,000 reports, of which the oldest go first. */
export interface ReportStore {
  /**
   * Reports from the newest on.
   *
   * @returns null when the cursor is not one of this list
   */
  list(query: { limit: number; cursor?: string | undefined }): ReportPage | null;
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
    list: ({ limit, cursor }) => {
      const before = cursor === undefined ? last + 1 : numberOf(cursor);
      if (before === null) return null;
      const older = [...reports].filter(([number]) => number < before).toReversed();
      const shown = older.slice(0, limit);
      const more = older.length > shown.length;
      return {
        data: shown.map(([, report]) => report),
        nextCursor: more ? cursorOf(shown.at(-1)![0]) : null,
      };
    },
  };
}

function cursorOf(number: number): string {
  return Buffer.from(`before:${number}`).toString('base64url');
}

function numberOf(cursor: string): number | null {
  const number = Number(/^before:([1-9]\d{0,14})$/.exec(decode(cursor))?.[1] ?? 0);
  return number > 0 && cursorOf(number) === cursor ? number : null;
}

function decode(cursor: string): string {
  return Buffer.from(cursor, 'base64url').toString('utf8');
}
