import type { Bed } from './bed.js';
import type { BenchOptions } from './options.js';
import { rssMibOf } from './process-stat.js';
import type { Results } from './report.js';
import { seed } from './seed.js';
import { keyServices } from './servers.js';
import { runSlice, spreadOf } from './slices.js';
import { verifications } from './targets.js';

/** Load between two looks at the process; its tokens are made anew for each. */
const SLICE_MS = 10_000;

interface Sample {
  minute: number;
  rssMib: number;
  p99Ms: number;
}

/** Memory and latency of a key service at full load for some minutes. */
export async function measureSoak(
  bed: Bed,
  options: BenchOptions,
  results: Results,
): Promise<void> {
  const database = await bed.database('bench');
  const texts = await seed(database.ownerUrl, { keys: options.keys, pepper: bed.pepper });
  const server = await keyServices(bed, null)(database);
  const samples: Sample[] = [];
  const startedMs = performance.now();
  const minutes = () => (performance.now() - startedMs) / 60_000;
  try {
    while (minutes() < options.soakMinutes) {
      const target = await verifications(bed, { server, texts });
      const { perSecond, p99Ms } = await runSlice(target, { ...options, sliceMs: SLICE_MS });
      const sample = { minute: minutes(), rssMib: rssMibOf(server.pid), p99Ms };
      samples.push(sample);
      console.log(
        `${sample.minute.toFixed(1)} min: ${Math.round(perSecond)}/s, ${Math.round(sample.rssMib)} MiB`,
      );
      results.figure('verify, keys/s', perSecond);
      results.figure('RSS at full load, MiB', sample.rssMib, { atMost: 200 });
    }
  } finally {
    await server.stop();
  }
  // the first half fills caches and the heap's young space
  const half = samples.slice(Math.floor(samples.length / 2));
  results.figure('RSS in the second half, MiB a minute', slopeOf(half), { atMost: 1 });
  const p99Of = (some: Sample[]) => spreadOf(some.map((one) => one.p99Ms)).median;
  const before = samples.slice(0, samples.length - half.length);
  if (before.length > 0)
    results.ratio('p99, second half / first', p99Of(half) / p99Of(before), { atMost: 1.1 });
}

/** Least squares. */
function slopeOf(samples: readonly Sample[]): number {
  const mean = (of: (one: Sample) => number) =>
    samples.reduce((sum, one) => sum + of(one), 0) / samples.length;
  const [minute, rssMib] = [mean((one) => one.minute), mean((one) => one.rssMib)];
  const over = samples.reduce((sum, one) => sum + (one.minute - minute) * (one.rssMib - rssMib), 0);
  const under = samples.reduce((sum, one) => sum + (one.minute - minute) ** 2, 0);
  return under === 0 ? 0 : over / under;
}
