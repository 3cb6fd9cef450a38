import { createReportStore } from './report-store.js';

describe('createReportStore', () => {
  it('keeps 1,000 reports at most, the newest', () => {
    const store = createReportStore();
    const [first] = store.list({ limit: 1 })!.data;
    for (let i = 0; i < 1_000; i += 1) store.add(`Report ${i}`);
    expect(store.find(first!.id)).toBeNull();
    expect(store.list({ limit: 2_000 })).toMatchObject({ data: { length: 1_000 } });
  });

  it('goes on where a page ended, even after reports were added or the marked one is gone', () => {
    const store = createReportStore();
    const page = store.list({ limit: 2 })!;
    const [oldest] = store.list({ limit: 3 })!.data.slice(2);
    store.add('In between');
    const next = store.list({ limit: 2, cursor: page.nextCursor! });
    expect(next).toEqual({ data: [oldest], nextCursor: null });
    for (let i = 0; i < 1_000; i += 1) store.add(`Report ${i}`);
    expect(store.list({ limit: 2, cursor: page.nextCursor! })!.data).toEqual([]);
  });
});
