import { createCursors } from '../signed-cursors.js';
import { createReportStore } from './report-store.js';
import { RepeatedReports } from './repeated-reports.js';

describe('createReportStore', () => {
  it('keeps 1,000 reports at most, the newest', () => {
    const store = createReportStore();
    const [first] = store.list({ limit: 1 }).data;
    for (let i = 0; i < 1_000; i += 1) store.add(`Report ${i}`);
    expect(store.find(first!.id)).toBeNull();
    expect(store.list({ limit: 2_000 })).toMatchObject({ data: { length: 1_000 } });
  });

  it('goes on where a page ended, even after reports were added or the marked one is gone', () => {
    const store = createReportStore();
    const below = store.list({ limit: 2 }).next!;
    const [oldest] = store.list({ limit: 3 }).data.slice(2);
    store.add('In between');
    expect(store.list({ limit: 2, below })).toEqual({ data: [oldest], next: null });
    for (let i = 0; i < 1_000; i += 1) store.add(`Report ${i}`);
    expect(store.list({ limit: 2, below }).data).toEqual([]);
  });
});

describe('createCursors', () => {
  const cursors = createCursors('secret of service-a', 'reports');
  const cursor = cursors.of(17, 'service-b');

  it('takes what any replica with the same secret gave to the same consumer', () => {
    const replica = createCursors('secret of service-a', 'reports');
    expect(replica.numberIn(cursor, 'service-b')).toBe(17);
    expect(cursor).toMatch(/^[0-9a-f]+$/);
  });

  it('takes none that was altered anywhere, made by others or given to another consumer', () => {
    for (let at = 0; at < cursor.length; at += 1) {
      const other = cursor[at] === '0' ? '1' : '0';
      const altered = cursor.slice(0, at) + other + cursor.slice(at + 1);
      expect(cursors.numberIn(altered, 'service-b')).toBeNull();
    }
    expect(cursors.numberIn(cursor, 'service-x')).toBeNull();
    const stranger = createCursors('another secret', 'reports');
    expect(stranger.numberIn(cursor, 'service-b')).toBeNull();
    const otherList = createCursors('secret of service-a', 'api-keys');
    expect(otherList.numberIn(cursor, 'service-b')).toBeNull();
    for (const odd of ['', cursor.toUpperCase(), `${cursor}3`, `${cursor}zz`, cursor.slice(0, 64)])
      expect(cursors.numberIn(odd, 'service-b')).toBeNull();
  });
});

describe('RepeatedReports', () => {
  it('forgets a key after 24 hours, and the oldest of more than 10,000', () => {
    let nowMs = 0;
    const repeated = new RepeatedReports(() => nowMs);
    const store = createReportStore();
    const once = (key: string) => ({ key, request: 'r', markReplayed: () => undefined });
    const write = (key: string) => repeated.run(once(key), 'key_1', () => store.add('x')).id;
    const first = write('a');
    nowMs += 24 * 3_600_000 - 1;
    expect(write('a')).toBe(first);
    nowMs += 1;
    const second = write('a');
    expect(second).not.toBe(first);
    for (let i = 0; i < 10_000; i += 1) write(`k${i}`);
    expect(write('a')).not.toBe(second);
  });
});
