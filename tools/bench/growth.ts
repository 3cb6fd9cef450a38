import { setTimeout as delay } from 'node:timers/promises';
import type { Bed } from './bed.js';
import { compareLists } from './lists.js';
import type { BenchOptions } from './options.js';
import { cpuUsOfFamily } from './process-stat.js';
import type { Results } from './report.js';
import { repeat } from './rounds.js';
import { seed } from './seed.js';
import { keyServices, type Server } from './servers.js';
import { runSlice, warmUp, type Slice, type Target } from './slices.js';
import { verifications } from './targets.js';

/** Keys of the small database. One half is asked about by way of the cache, the other by way of the store. */
const FEW = 1_000;
/** The same of the large one: those whose texts are known, at random among all, on more pages than its buffers hold. */
const KNOWN = 20_000;
/** So many times the rounds: a slice differs by a seventh from the next, and what is looked for is a twentieth. */
const ALIKE_TIMES = 6;
/** PostgreSQL is at rest when it has had so little of a core for so long; else it is not waited for any longer. */
const CALM_SHARE = 0.02;
const CALM_MS = 3_000;
const LOOK_MS = 500;
const MOST_REST_MS = 90_000;

/** One key service on each database. */
interface Sides<T> {
  small: T;
  large: T;
}

/**
 * What many keys cost: verifications, store misses and pages of lists on many keys against a thousand. As many keys are verified in
 * both; what it costs to use twenty times as many is measured as well, but is no matter of how many there are.
 */
export async function measureGrowth(
  bed: Bed,
  options: BenchOptions,
  results: Results,
): Promise<void> {
  const start = keyServices(bed, null);
  const [small, large] = [await bed.database('small'), await bed.database('large')];
  const { pepper } = bed;
  const known = Math.min(KNOWN, options.many);
  const few = await seed(small.ownerUrl, { keys: FEW, pepper });
  console.log(`Filling a database with ${options.many} keys`);
  const many = await seed(large.ownerUrl, { keys: known, filling: options.many - known, pepper });
  await atRest(bed);
  const servers = { small: await start(small), large: await start(large) };
  try {
    const compared = { servers, texts: { small: few, large: many } };
    await compareAlike(bed, compared, { options, results });
    await compareAll(bed, compared, { options, results });
    await compareLists(bed, { ...servers, many: options.many }, results);
  } finally {
    await Promise.all([servers.small.stop(), servers.large.stop()]);
  }
}

/** Waits until PostgreSQL has done with what it was given, such as to analyse what was loaded. */
async function atRest({ pids }: Bed): Promise<void> {
  for (let calm = 0, waited = 0; calm < CALM_MS && waited < MOST_REST_MS; waited += LOOK_MS) {
    const beforeUs = cpuUsOfFamily(pids.postgres);
    await delay(LOOK_MS);
    const share = (cpuUsOfFamily(pids.postgres) - beforeUs) / 1_000 / LOOK_MS;
    calm = share > CALM_SHARE ? 0 : calm + LOOK_MS;
  }
}

interface Compared {
  servers: Sides<Server>;
  /** Keys whose texts are known. */
  texts: Sides<string[]>;
}

/** As many keys in both, before either server was asked about any other: what differs is how many there are. */
async function compareAlike(
  bed: Bed,
  { servers: { small, large }, texts }: Compared,
  { options, results }: { options: BenchOptions; results: Results },
): Promise<void> {
  const some = (all: string[]) => all.slice(0, FEW / 2);
  const hit = {
    small: await verifications(bed, { server: small, texts: some(texts.small) }),
    large: await verifications(bed, { server: large, texts: some(texts.large) }),
  };
  for (const target of [hit.small, hit.large]) await warmUp(target, options);
  await repeat(options.rounds * ALIKE_TIMES, async (isReversed) => {
    const hits = await eachOf(hit, isReversed, (target) => runSlice(target, options));
    const note = () => {
      const name = 'verify, many keys / few';
      results.ratio(name, hits.large.perSecond / hits.small.perSecond, { atLeast: 0.95 });
      results.ratio(`${name}, by CPU time`, hits.small.cpuUs / hits.large.cpuUs);
    };
    return { slices: Object.values(hits), note };
  });
}

async function compareAll(
  bed: Bed,
  { servers: { small, large }, texts }: Compared,
  { options, results }: { options: BenchOptions; results: Results },
): Promise<void> {
  const targetsBy = async (way: 'cache' | 'store', [from, to]: [number, number]) => {
    const part = (all: string[]) => all.slice(all.length * from, all.length * to);
    return {
      small: await verifications(bed, { server: small, texts: part(texts.small), way }),
      large: await verifications(bed, { server: large, texts: part(texts.large), way }),
    };
  };
  const hit = await targetsBy('cache', [0, 0.5]);
  const miss = await targetsBy('store', [0.5, 1]);
  for (const target of [hit.large, miss.large]) await warmUp(target, options);
  const full = await runSlice(miss.small, { ...options, sliceMs: options.warmUpMs });
  await repeat(options.rounds, async (isReversed) => {
    const hits = await eachOf(hit, isReversed, (target) => runSlice(target, options));
    const misses = await eachOf(miss, isReversed, (target) =>
      runSlice(target, options, full.perSecond / 2),
    );
    const slices = [...Object.values(hits), ...Object.values(misses)];
    return { slices, note: () => note({ hits, misses }, results) };
  });
}

function note(
  { hits, misses }: { hits: Sides<Slice>; misses: Sides<Slice> },
  results: Results,
): void {
  const name = 'verify, many keys, and 20 times as many in use / few';
  results.ratio(name, hits.large.perSecond / hits.small.perSecond);
  results.ratio(`${name}, by CPU time`, hits.small.cpuUs / hits.large.cpuUs);
  for (const side of ['small', 'large'] as const) {
    results.figure(`verify, ${side} database, keys/s`, hits[side].perSecond);
    results.figure(`store miss at half load, ${side} database, p99 ms`, misses[side].p99Ms);
  }
  const p99 = misses.large.p99Ms / misses.small.p99Ms;
  results.ratio('store miss, p99 at half load, many keys / few', p99, { atMost: 2 });
}

/** One after the other. */
async function eachOf<Name extends string, T>(
  targets: Record<Name, Target>,
  isReversed: boolean,
  run: (target: Target) => Promise<T>,
): Promise<Record<Name, T>> {
  const inTurn = Object.entries<Target>(targets);
  const seen: [string, T][] = [];
  for (const [name, target] of isReversed ? inTurn.toReversed() : inTurn)
    seen.push([name, await run(target)]);
  return Object.fromEntries(seen) as Record<Name, T>;
}
