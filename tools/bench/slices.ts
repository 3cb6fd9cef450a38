import type { BenchOptions } from './options.js';
import { load, type LoadResult } from './load.js';
import { cpuUsOf } from './process-stat.js';

const WARM_TIMES = 3;
/** Of the answers, or of the parts of one. */
const GOOD_SHARE = 0.99;

/** A server's route with the requests to send to it. */
export interface Target {
  name: string;
  port: number;
  /** Processes that serve it, whose CPU time is counted. */
  pids: number[];
  /** Sent in turn. */
  requests: Buffer[];
  /** Keys that one request is about. */
  keysEach?: number;
  /** What every good answer holds. */
  expected: readonly string[];
  /** Where the next slice begins in `requests`. */
  at?: number;
}

/** One slice: keys a second, CPU time of the server for each, latencies. */
export interface Slice {
  perSecond: number;
  cpuUs: number;
  p50Ms: number;
  p99Ms: number;
  /** Of every answer. */
  latencies: readonly number[];
  /** An answer that was not as expected, where more than 1 of 100 were not: the slice means nothing then. */
  spoiltBy: string | undefined;
}

/** Sends load to a target for one slice. Each slice goes on in the target's requests where the one before ended. */
export async function runSlice(
  target: Target,
  options: Pick<BenchOptions, 'connections' | 'sliceMs'>,
  perSecond?: number,
): Promise<Slice> {
  const { port, pids, requests, keysEach = 1, expected } = target;
  const from = target.at ?? 0;
  let count = 0;
  const cpuBefore = sum(pids.map(cpuUsOf));
  const result = await load({
    port,
    connections: options.connections,
    forMs: options.sliceMs,
    expected,
    request: (n) => {
      count = n + 1;
      return requests[(from + n) % requests.length]!;
    },
    ...(perSecond !== undefined && { perSecond: perSecond / keysEach }),
  });
  target.at = (from + count) % requests.length;
  return {
    perSecond: result.perSecond * keysEach,
    cpuUs: (sum(pids.map(cpuUsOf)) - cpuBefore) / (count * keysEach),
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    latencies: result.latencies,
    spoiltBy: spoiltBy(result, { expected, keysEach }),
  };
}

/** Of one answer about many keys each part is looked at: of all, that would cost the load generator too much. */
function spoiltBy(
  { goodShare, firstOther, last }: LoadResult,
  { expected, keysEach }: { expected: readonly string[]; keysEach: number },
): string | undefined {
  if (goodShare < GOOD_SHARE) return firstOther;
  const isWhole = expected.every((text) => last.split(text).length > GOOD_SHARE * keysEach);
  return isWhole ? undefined : last;
}

/**
 * Load that is not measured, for the time of a warm-up and until each request was sent some times: the first time a key is read
 * from the store, and its answer is prepared at the second.
 */
export async function warmUp(target: Target, options: BenchOptions): Promise<void> {
  const { keysEach = 1, requests } = target;
  const slice = { ...options, sliceMs: options.warmUpMs };
  for (let sent = 0; sent < WARM_TIMES * requests.length;) {
    const { perSecond } = await runSlice(target, slice);
    sent += (perSecond * slice.sliceMs) / 1_000 / keysEach;
  }
}

/** Median, least and greatest of some figures. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** @throws RangeError where there is none */
export function spreadOf(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((a, b) => a - b);
  if (sorted.length === 0) throw new RangeError('There are no figures');
  const middle = Math.floor(sorted.length / 2);
  const median =
    sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
