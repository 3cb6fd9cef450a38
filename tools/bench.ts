import { openBed, type Bed } from './bench/bed.js';
import { measureFlood } from './bench/flood.js';
import { measureGuard } from './bench/guard.js';
import { measureGrowth } from './bench/growth.js';
import { measureHotPath } from './bench/measures.js';
import { readOptions, USAGE, type BenchOptions } from './bench/options.js';
import { measureReplicas } from './bench/replicas.js';
import { createResults, machine, type Results } from './bench/report.js';
import { pinBench } from './bench/servers.js';
import { measureSoak } from './bench/soak.js';

/** Measures the key service beside bare Fastify in one run; see docs/performance.md. */
async function main(options: BenchOptions): Promise<void> {
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
    await Promise.race([measure(bed, options, results), interrupted]);
    results.finish(options.out, options.rounds);
  } finally {
    await bed.stop();
  }
}

function measure(bed: Bed, options: BenchOptions, results: Results): Promise<void> {
  const { growth, replicas, guard, flood, soakMinutes } = options;
  if (growth) return measureGrowth(bed, options, results);
  if (replicas) return measureReplicas(bed, options, results);
  if (guard) return measureGuard(bed, options, results);
  if (flood) return measureFlood(bed, options, results);
  if (soakMinutes !== null) return measureSoak(bed, { ...options, soakMinutes }, results);
  return measureHotPath(bed, options, results);
}

const args = process.argv.slice(process.argv[2] === 'bench' ? 3 : 2);
if (args.includes('--help')) {
  console.log(USAGE);
  process.exit(0);
}
try {
  await main(readOptions(args));
  process.exit(0);
} catch (error) {
  console.error(`\nThe bench failed: ${(error as Error).message}`);
  process.exit(1);
}
