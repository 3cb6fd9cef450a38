import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import { startRedis, type TestRedis } from '../../../../test/support/redis.js';
import { cacheNames } from '../changes/marker.js';

let server: TestRedis;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis?.disconnect();
  await server?.remove();
});

const scriptAt = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');
const [FILL, OVERWRITE] = [scriptAt('./fill.lua'), scriptAt('../changes/overwrite.lua')];
const { record, fill } = cacheNames('key_0000000000000000');
const LIFE_MS = 60_000;

/** Where something of a key stands: of two, the one of the later epoch is newer, and in one epoch that of the later version. */
interface Place {
  version: number;
  epoch: number;
}
const stateAt = ({ version, epoch }: Place, asOf = 1) =>
  `${version}:${epoch}:${'m'.repeat(43)}:${asOf}|`;
const markerAt = ({ version, epoch }: Place) => `${version}:${epoch}:-:`;
const placeIn = (entry: string): Place => {
  const [version, epoch] = entry.split(':').map(Number) as [number, number];
  return { version, epoch };
};
const isState = (entry: string) => !entry.endsWith(':-:');

const fillWith = (token: string, place: Place, entry: string) =>
  redis.eval(FILL, 2, record, fill, token, place.version, place.epoch, entry, LIFE_MS);
const overwriteAt = ({ version, epoch }: Place) =>
  redis.eval(OVERWRITE, 2, record, fill, version, epoch, LIFE_MS);
const given = async (entry: string | null, token: string | null) => {
  await redis.flushall();
  if (entry !== null) await redis.set(record, entry);
  if (token !== null) await redis.set(fill, token);
};

const somePlace = fc.record({
  version: fc.integer({ min: 0, max: 3 }),
  epoch: fc.integer({ min: 1, max: 3 }),
});
const someEntry = fc.oneof(
  fc.constantFrom(null, 'junk', ''),
  somePlace.map((place) => stateAt(place)),
  somePlace.map(markerAt),
);
const someToken = fc.constantFrom(null, 'mine', 'of another');

test('a fill leaves no right to fill behind, and is done only by who has it, never over what is newer', async () => {
  await fc.assert(
    fc.asyncProperty(someEntry, someToken, somePlace, async (before, token, place) => {
      await given(before, token);
      await fillWith('mine', place, stateAt(place, 2));
      const there = before === null ? null : placeIn(before);
      const isNewer =
        there !== null &&
        (there.epoch > place.epoch ||
          (there.epoch === place.epoch && there.version > place.version));
      const isDone = token === 'mine' && !isNewer;
      expect(await redis.get(record)).toBe(isDone ? stateAt(place, 2) : before);
      expect(await redis.get(fill)).toBe(token === 'mine' ? null : token);
      expect(isDone && (await redis.pttl(record)) <= 0).toBe(false);
    }),
    { numRuns: 300 },
  );
});

test('an overwrite ends every right to fill, and leaves nothing that is older than itself in version or epoch, and no new state', async () => {
  await fc.assert(
    fc.asyncProperty(someEntry, someToken, somePlace, async (before, token, place) => {
      await given(before, token);
      await overwriteAt(place);
      const after = (await redis.get(record))!;
      expect(await redis.get(fill)).toBeNull();
      expect(placeIn(after).version).toBeGreaterThanOrEqual(place.version);
      expect(placeIn(after).epoch).toBeGreaterThanOrEqual(place.epoch);
      // a state that stands has seen the change; whatever else is there asks the store
      expect([before, markerAt(place)]).toContain(after);
    }),
    { numRuns: 300 },
  );
});

/** What may happen, in any order: a reader begins or ends, a change is committed or overwrites, the epoch is raised, Redis forgets. */
const someStep = fc.oneof(
  fc.constantFrom('read', 'change', 'raise', 'evict', 'flush'),
  fc.record({ end: fc.constantFrom('read', 'change'), which: fc.nat({ max: 5 }) }),
);

test('in whatever order readers fill and changes overwrite, what is believed is never older than a change that has overwritten', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(someStep, { minLength: 4, maxLength: 30 }), async (steps) => {
      await given(null, null);
      const store: Place = { version: 1, epoch: 1 };
      const readers: (Place & { token: string })[] = [];
      const changes: Place[] = [];
      let seen = 0;
      let tokens = 0;
      const begin: Record<string, () => Promise<unknown>> = {
        read: async () => {
          const shared = await redis.get(fill);
          const token = shared ?? `t${(tokens += 1)}`;
          if (shared === null) await redis.set(fill, token);
          readers.push({ ...store, token });
        },
        change: async () => {
          store.version += 1;
          changes.push({ ...store });
        },
        raise: async () => (store.epoch += 1),
        evict: () => redis.del(record),
        flush: () => redis.flushall(),
      };
      const end = {
        read: async (which: number) => {
          const [reader] = readers.splice(which, 1);
          if (reader !== undefined) await fillWith(reader.token, reader, stateAt(reader));
        },
        change: async (which: number) => {
          const [change] = changes.splice(which, 1);
          if (change === undefined) return;
          await overwriteAt(change);
          seen = Math.max(seen, change.version);
        },
      };
      for (const step of steps) {
        await (typeof step === 'string' ? begin[step]!() : end[step.end](step.which));
        const entry = await redis.get(record);
        if (entry === null || !isState(entry) || placeIn(entry).epoch !== store.epoch) continue;
        expect(placeIn(entry).version).toBeGreaterThanOrEqual(seen);
      }
    }),
    { numRuns: 300 },
  );
});
