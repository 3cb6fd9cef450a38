import type { Bed } from './bed.js';
import { sharesOf, watch, type Watched } from './busy.js';
import type { BenchOptions } from './options.js';
import { MISSED_KEYS, Pairs, type Pair } from './pairs.js';
import type { Results } from './report.js';
import { repeat } from './rounds.js';
import { seed } from './seed.js';
import { keyServices, type Server } from './servers.js';
import { runSlice, spreadOf, warmUp, type Slice, type Target } from './slices.js';

const STARTS = 3;
const PATHS = ['verify', 'miss', 'batch'] as const;

/** The hot path beside bare Fastify: every figure and ratio of `npm run bench` without a mode. */
export async function measureHotPath(
  bed: Bed,
  options: BenchOptions,
  results: Results,
): Promise<void> {
  const database = await bed.database('bench');
  const keys = options.keys + MISSED_KEYS;
  const texts = await seed(database.ownerUrl, { keys, pepper: bed.pepper });
  const start = keyServices(bed, options.profileDir);
  const service = await startCold(() => start(database), options, results);
  const servers = [service];
  try {
    const made = await Pairs.on(bed, { service, texts, runtimeUrl: database.runtimeUrl });
    const pairs: Pair[] = [];
    for (const path of options.only === null ? PATHS : [options.only])
      pairs.push(...(await made[path]()));
    servers.push(...made.servers);
    const targets = [...new Set(pairs.flatMap(({ ours, theirs }) => [ours, theirs]))];
    for (const target of targets) await warmUp(target, options);
    if (options.profileDir !== null) service.tell('start');
    const seen = new Map<Target, number[]>();
    await repeat(options.rounds, async (isReversed) => {
      const round = await runRound(bed, { targets, pairs }, { options, seen, isReversed });
      const slices = [
        ...[...round.full.values()].map(({ value }) => value),
        ...round.half.values(),
      ];
      return { slices, note: () => note(pairs, round, results) };
    });
    if (options.profileDir !== null) {
      service.tell('save');
      await service.answered();
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** The last of some starts, which all are measured. */
async function startCold(
  start: () => Promise<Server>,
  { rounds }: BenchOptions,
  results: Results,
): Promise<Server> {
  for (let left = Math.min(STARTS, rounds); ; left -= 1) {
    const server = await start();
    results.figure('cold start to ready, ms', server.startMs, { atMost: 2_000 });
    if (left <= 1) return server;
    await server.stop();
  }
}

interface Compared {
  targets: Target[];
  pairs: Pair[];
}

/** Slices of one round: at full load, and at half of what each target reaches. */
interface Slices {
  full: Map<Target, Watched<Slice>>;
  half: Map<Target, Slice>;
}

async function runRound(
  bed: Bed,
  { targets, pairs }: Compared,
  by: { options: BenchOptions; seen: Map<Target, number[]>; isReversed: boolean },
): Promise<Slices> {
  const inTurn = (some: Target[]) => (by.isReversed ? some.toReversed() : some);
  const full = new Map<Target, Watched<Slice>>();
  for (const target of inTurn(targets)) {
    const slice = await watch(bed, [target], () => runSlice(target, by.options));
    full.set(target, slice);
    by.seen.set(target, [...(by.seen.get(target) ?? []), slice.value.perSecond]);
  }
  const half = new Map<Target, Slice>();
  const timed = pairs.find(({ isTimed }) => isTimed);
  for (const target of timed ? inTurn([timed.ours, timed.theirs]) : []) {
    const perSecond = spreadOf(by.seen.get(target)!).median / 2;
    half.set(target, await runSlice(target, by.options, perSecond));
  }
  return { full, half };
}

function note(pairs: Pair[], { full, half }: Slices, results: Results): void {
  for (const [{ name }, watched] of full) {
    results.figure(`${name}, keys/s`, watched.value.perSecond);
    results.figure(`${name}, CPU us a key`, watched.value.cpuUs);
    results.busy(name, sharesOf(watched));
  }
  for (const { name, ours, theirs, goal, isTimed } of pairs) {
    const [our, their] = [full.get(ours)!.value, full.get(theirs)!.value];
    results.ratio(name, our.perSecond / their.perSecond, goal);
    results.ratio(`${name}, by CPU time`, their.cpuUs / our.cpuUs);
    if (!isTimed) continue;
    for (const target of [ours, theirs])
      results.figure(`${target.name}, p99 at half load, ms`, half.get(target)!.p99Ms);
    const ratio = half.get(ours)!.p99Ms / half.get(theirs)!.p99Ms;
    results.ratio(`p99 at half load, ${name}`, ratio, { atMost: 2 });
  }
}
