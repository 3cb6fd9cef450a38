import { createRenewal, renewalWaitMs } from './renewal.js';

const nowMs = Date.parse('2027-01-31T12:00:00Z');
const inSeconds = (seconds: number) => new Date(nowMs + seconds * 1_000).toUTCString();
const waitOf = (headers: Record<string, string>, random = 1) =>
  renewalWaitMs(new Headers(headers), nowMs, random);

describe('renewalWaitMs', () => {
  it('is nothing where the answer says of no end', () => {
    expect(waitOf({ date: inSeconds(0) })).toBeNull();
  });

  it('leaves time for ten tries before the end, and is a minute at most', () => {
    expect(waitOf({ sunset: inSeconds(60) })).toBe(6_000);
    expect(waitOf({ sunset: inSeconds(60) }, 0.5)).toBe(3_000);
    expect(waitOf({ sunset: inSeconds(86_400) })).toBe(60_000);
    expect(waitOf({ sunset: inSeconds(-60) })).toBe(0);
  });

  it('is chance within a minute where no end is named', () => {
    expect(waitOf({ deprecation: `@${nowMs / 1_000}` }, 0.25)).toBe(15_000);
    expect(waitOf({ sunset: 'some day' }, 0.25)).toBe(15_000);
  });
});

describe('createRenewal', () => {
  it('reads once for all whose key was refused, and only once that is late enough', async () => {
    const readings: ((key: string) => void)[] = [];
    let held = 'old';
    const renewal = createRenewal({
      source: 'test',
      refreshedAt: () => null,
      read: ({ fresh = false } = {}) => {
        if (!fresh) return Promise.resolve(held);
        return new Promise((resolve) => {
          readings.push((key) => resolve((held = key)));
        });
      },
    });
    const first = renewal.after('old');
    await untilThereAre(readings, 1);
    const others = [renewal.after('old'), renewal.after('old')];
    await new Promise((resolve) => setImmediate(resolve));
    readings[0]!('old');
    await expect(first).resolves.toBe('old');
    await untilThereAre(readings, 2);
    readings[1]!('new');
    await expect(Promise.all(others)).resolves.toEqual(['new', 'new']);
    await expect(renewal.after('old')).resolves.toBe('new');
    expect(readings).toHaveLength(2);
  });

  it('reads once more for whose key was refused while a reading was under way that fails', async () => {
    const readings: (() => void)[] = [];
    const renewal = createRenewal({
      source: 'test',
      refreshedAt: () => null,
      read: ({ fresh = false } = {}) => {
        if (!fresh) return Promise.resolve('old');
        if (readings.length > 0) return Promise.resolve('new');
        return new Promise((_, reject) => {
          readings.push(() => reject(new Error('Away')));
        });
      },
    });
    const first = renewal.after('old');
    await untilThereAre(readings, 1);
    const second = renewal.after('old');
    await new Promise((resolve) => setImmediate(resolve));
    readings[0]!();
    await expect(first).rejects.toThrow('Away');
    await expect(second).resolves.toBe('new');
  });

  it('looks once a second at most, also where the end is past as the clock here has it', async () => {
    let looks = 0;
    const renewal = createRenewal({
      source: 'test',
      refreshedAt: () => null,
      read: ({ fresh = false } = {}) => {
        if (fresh) looks += 1;
        return Promise.resolve('old');
      },
    });
    const headers = new Headers({ sunset: new Date(Date.now() - 60_000).toUTCString() });
    const endMs = performance.now() + 1_500;
    while (performance.now() < endMs) {
      renewal.heed(headers, 'old');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(looks).toBeGreaterThan(0);
    expect(looks).toBeLessThanOrEqual(2);
  });
});

async function untilThereAre(list: unknown[], count: number): Promise<void> {
  while (list.length < count) await new Promise((resolve) => setImmediate(resolve));
}
