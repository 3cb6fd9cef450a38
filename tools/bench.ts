import { openBed } from './bench/bed.js';
import { measureFlood } from './bench/flood.js';
import { measureGuard } from './bench/guard.js';
import { measureGrowth } from './bench/growth.js';
import { measureHotPath } from './bench/measures.js';
import { readOptions, USAGE, type BenchOptions, type Mode } from './bench/options.js';
import { measureReplicas } from './bench/replicas.js';
import { createResults, machine } from './bench/report.js';
import { pinBench } from './bench/servers.js';
import { measureSoak } from './bench/soak.js';

const MEASURES: Record<Mode, typeof measureHotPath> = {
  growth: measureGrowth,
  replicas: measureReplicas,
  guard: measureGuard,
  flood: measureFlood,
  soak: measureSoak,
};

/**
 * Measures the key service beside bare Fastify in one run; see docs/performance.md.
 *
 * @returns whether all is well: no goal was missed, or none has to be reached
 */
async function main(options: BenchOptions): Promise<boolean> {
  console.log(machine());
  console.log(pinBench());
  const bed = await openBed();
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => reject(new Error(`ended by ${signal}`)));
    }
  });
  try {
    const results = createResults();
    const measure = options.mode === null ? measureHotPath : MEASURES[options.mode];
    await Promise.race([measure(bed, options, results), interrupted]);
    const missed = results.finish(options.out, options.rounds);
    return missed.length === 0 || !options.strict;
  } finally {
    await bed.stop();
  }
}

const args = process.argv.slice(process.argv[2] === 'bench' ? 3 : 2);
if (args.includes('--help')) {
  console.log(USAGE);
  process.exit(0);
}
try {
  process.exit((await main(readOptions(args))) ? 0 : 1);
} catch (error) {
  console.error(`\nThe bench failed: ${(error as Error).message}`);
  process.exit(1);
}
