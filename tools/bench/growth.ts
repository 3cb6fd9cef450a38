import type { Bed } from './bed.js';
import type { BenchOptions } from './options.js';
import type { Results } from './report.js';
import { seed } from './seed.js';
import { keyServices, type Server } from './servers.js';
import { runSlice, spreadOf, type Target } from './slices.js';
import { ask, verifications } from './targets.js';

/** Keys of the small database, and those of the large one whose texts are known. */
const KNOWN = 1_000;
const PAGES = 15;

/** Pages of the large database, each against the first page of the small one. */
const LISTS = {
  'all keys': '',
  active: 'status=active',
  disabled: 'status=disabled',
  expired: 'status=expired',
  revoked: 'status=revoked',
  'of a service': 'service=service-a',
  'of a consumer': 'consumer=consumer-3',
  'of a rare tag': 'tag=rare',
  'of a common tag': 'tag=common',
  'ending soon, active': `status=active&expiresBefore=${inDays(3)}`,
  'ending soon, disabled': `status=disabled&expiresBefore=${inDays(3)}`,
  'ending soon, revoked': `status=revoked&expiresBefore=${inDays(3)}`,
  unused: `unusedSince=${inDays(-1)}`,
  'by a part of the name': 'q=bench',
  'by a name that none has': 'q=nothing-like-it',
};

/** One key service on each database. */
interface Sides {
  small: Server;
  large: Server;
}

/** What many keys cost: verifications, store misses and pages of lists on many keys against a thousand. */
export async function measureGrowth(
  bed: Bed,
  options: BenchOptions,
  results: Results,
): Promise<void> {
  const start = keyServices(bed, null);
  const [small, large] = [await bed.database('small'), await bed.database('large')];
  const { pepper } = bed;
  const few = await seed(small.ownerUrl, { keys: KNOWN, pepper });
  console.log(`Filling a database with ${options.many} keys`);
  const filling = options.many - KNOWN;
  const many = await seed(large.ownerUrl, { keys: KNOWN, filling, pepper });
  const servers = { small: await start(small), large: await start(large) };
  try {
    await compare(bed, { servers, texts: { small: few, large: many } }, { options, results });
    await compareLists(bed, servers, results);
  } finally {
    await Promise.all([servers.small.stop(), servers.large.stop()]);
  }
}

async function compare(
  bed: Bed,
  { servers, texts }: { servers: Sides; texts: Record<keyof Sides, string[]> },
  { options, results }: { options: BenchOptions; results: Results },
): Promise<void> {
  const targetsBy = async (way: 'cache' | 'store') => ({
    small: await verifications(bed, { server: servers.small, texts: texts.small, way }),
    large: await verifications(bed, { server: servers.large, texts: texts.large, way }),
  });
  const [hit, miss] = [await targetsBy('cache'), await targetsBy('store')];
  const warmUp = { ...options, sliceMs: options.warmUpMs };
  for (const target of [hit.small, hit.large]) await runSlice(target, warmUp);
  const full = await runSlice(miss.small, warmUp);
  await runSlice(miss.large, warmUp);
  for (let round = 0; round < options.rounds; round += 1) {
    process.stdout.write(`\rround ${round + 1} of ${options.rounds} `);
    const inTurn = round % 2 === 0 ? SIDES : SIDES.toReversed();
    const hits = await slices(hit, inTurn, (target) => runSlice(target, options));
    const misses = await slices(miss, inTurn, (target) =>
      runSlice(target, options, full.perSecond / 2),
    );
    results.ratio('verify, many keys / few', hits.large.perSecond / hits.small.perSecond, {
      atLeast: 0.95,
    });
    for (const side of SIDES) {
      results.figure(`verify, ${side} database, keys/s`, hits[side].perSecond);
      results.figure(`store miss at half load, ${side} database, p99 ms`, misses[side].p99Ms);
    }
    const p99 = misses.large.p99Ms / misses.small.p99Ms;
    results.ratio('store miss, p99 at half load, many keys / few', p99, { atMost: 2 });
  }
}

const SIDES = ['small', 'large'] as const;

async function slices<T>(
  targets: Record<keyof Sides, Target>,
  inTurn: readonly (keyof Sides)[],
  run: (target: Target) => Promise<T>,
): Promise<Record<keyof Sides, T>> {
  const seen = new Map<keyof Sides, T>();
  for (const side of inTurn) seen.set(side, await run(targets[side]));
  return { small: seen.get('small')!, large: seen.get('large')! };
}

/** The median page of each list, one request at a time, the lists in turn. */
async function compareLists(bed: Bed, { small, large }: Sides, results: Results): Promise<void> {
  const token = await bed.issuer.person('usr_admin');
  const timed = async (server: Server, query: string): Promise<number> => {
    const startedMs = performance.now();
    const { status, text } = await ask(server, `/v1/keys?${query}`, { token });
    if (status !== 200) throw new Error(`/v1/keys?${query}: ${status} ${text}`);
    return performance.now() - startedMs;
  };
  const base: number[] = [];
  const tookMs = new Map<string, number[]>(Object.keys(LISTS).map((name) => [name, []]));
  for (let i = 0; i < PAGES; i += 1) {
    base.push(await timed(small, ''));
    for (const [name, query] of Object.entries(LISTS))
      tookMs.get(name)!.push(await timed(large, query));
  }
  const first = spreadOf(base).median;
  results.figure('first page of few keys, ms', first);
  for (const [name, pages] of tookMs)
    results.ratio(`page: ${name}`, spreadOf(pages).median / first, { atMost: 1.2 });
}

function inDays(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString();
}
