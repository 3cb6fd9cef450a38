import { readFileSync } from 'node:fs';
import type { Bed } from './bed.js';
import { cpuUsOf, cpuUsOfFamily } from './process-stat.js';
import { OTHER_CORE, SERVER_CORE } from './servers.js';
import type { Target } from './slices.js';

/** What ran, how long that took, and the CPU time in microseconds that each who takes part had meanwhile. */
export interface Watched<T> {
  value: T;
  seconds: number;
  cpuUs: Record<'servers' | 'redis' | 'postgres' | 'load', number>;
  /** Share of each core that was not idle, 0 to 1, whoever had it; NaN where Linux does not tell. */
  cores: Record<'servers' | 'others', number>;
}

/** Runs load on some targets and watches who has the cores meanwhile. */
export async function watch<T>(
  bed: Bed,
  targets: readonly Target[],
  run: () => Promise<T>,
): Promise<Watched<T>> {
  const { redis, postgres } = bed.pids;
  const used = () => ({
    servers: targets.flatMap(({ pids }) => pids.map(cpuUsOf)).reduce((a, b) => a + b, 0),
    redis: cpuUsOf(redis),
    postgres: cpuUsOfFamily(postgres),
    load: cpuUsOf(process.pid),
  });
  const [before, coresBefore] = [used(), [ticksOf(SERVER_CORE), ticksOf(OTHER_CORE)] as const];
  const startMs = performance.now();
  const value = await run();
  const seconds = (performance.now() - startMs) / 1_000;
  const cores = {
    servers: busyShare(coresBefore[0], ticksOf(SERVER_CORE)),
    others: busyShare(coresBefore[1], ticksOf(OTHER_CORE)),
  };
  const after = used();
  const since = (who: keyof typeof after) => after[who] - before[who];
  const cpuUs = {
    servers: since('servers'),
    redis: since('redis'),
    postgres: since('postgres'),
    load: since('load'),
  };
  return { value, seconds, cpuUs, cores };
}

/** The same as shares of one core, to be printed. */
export function sharesOf({
  seconds,
  cpuUs,
  cores,
}: Omit<Watched<unknown>, 'value'>): Record<string, number> {
  const share = (us: number) => us / 1_000_000 / seconds;
  return {
    server: share(cpuUs.servers),
    redis: share(cpuUs.redis),
    postgres: share(cpuUs.postgres),
    load: share(cpuUs.load),
    'its core': cores.servers,
    'the other': cores.others,
  };
}

interface Ticks {
  idle: number;
  all: number;
}

function ticksOf(core: number): Ticks {
  try {
    const [, text = ''] =
      new RegExp(`^cpu${core} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'utf8')) ?? [];
    // user, nice, system, idle, waiting for a disk, interrupts, software interrupts, taken by other machines
    const ticks = text.trim().split(/ +/).slice(0, 8).map(Number);
    return { idle: ticks[3]! + ticks[4]!, all: ticks.reduce((a, b) => a + b, 0) };
  } catch {
    return { idle: NaN, all: NaN };
  }
}

function busyShare(before: Ticks, after: Ticks): number {
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}
