import type { Bed } from './bed.js';
import { ask } from './measures.js';
import type { BenchOptions } from './options.js';
import type { Results } from './report.js';
import { seed } from './seed.js';
import { keyServices, SERVER_CORE, SECOND_CORE, startBare, type Server } from './servers.js';
import { runSlice, type Target } from './slices.js';
import { verifications } from './targets.js';

/** The same requests for one process and for another on a core of its own. */
type Two = [Target, Target];

/** What a second process gains: two key services against one, and two bare servers against one, in turn. */
export async function measureReplicas(
  bed: Bed,
  options: BenchOptions,
  results: Results,
): Promise<void> {
  const database = await bed.database('bench');
  const texts = await seed(database.ownerUrl, { keys: options.keys, pepper: bed.pepper });
  const start = keyServices(bed, null);
  const ours = [await start(database, SERVER_CORE), await start(database, SECOND_CORE)];
  const servers = [...ours];
  try {
    const verify = await verifyBy(bed, ours, texts);
    const answer = await goodAnswer(bed, ours[0]!, texts[0]!);
    const bareOptions = { runtimeUrl: database.runtimeUrl, answer };
    for (const core of [SERVER_CORE, SECOND_CORE])
      servers.push(await startBare(bed, 'script', { ...bareOptions, core }));
    const bare = servers.slice(2).map(({ name, port, pid }, i): Target => ({
      ...verify[i]!,
      ...{ name, port, pids: [pid] },
      requests: verify[i]!.requests.map((one) => rerouted(one)),
    })) as Two;
    for (const target of [...verify, ...bare])
      await runSlice(target, { ...options, sliceMs: options.warmUpMs });
    for (let round = 0; round < options.rounds; round += 1) {
      process.stdout.write(`\rround ${round + 1} of ${options.rounds} `);
      const [our, their] = [await gainOf(verify, options), await gainOf(bare, options)];
      results.figure('two key services / one', our);
      results.figure('two bare servers / one', their);
      results.ratio('gain of a second process, ours / bare', our / their, { atLeast: 0.9 });
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function verifyBy(bed: Bed, servers: Server[], texts: string[]): Promise<Two> {
  const targets = await Promise.all(servers.map((server) => verifications(bed, { server, texts })));
  return targets as Two;
}

/** Requests a second of both at a time, by those of the first alone. Taken again where answers are not what is measured. */
async function gainOf(two: Two, options: BenchOptions, tries = options.rounds): Promise<number> {
  const [first, second] = two;
  const alone = await runSlice(first, options);
  const half = { ...options, connections: Math.ceil(options.connections / 2) };
  const both = await Promise.all([runSlice(first, half), runSlice(second, half)]);
  const spoiltBy = [alone, ...both].find((slice) => slice.spoiltBy)?.spoiltBy;
  if (spoiltBy !== undefined && tries > 0) return gainOf(two, options, tries - 1);
  if (spoiltBy !== undefined) throw new Error(`Not what is measured:\n${spoiltBy}`);
  return (both[0].perSecond + both[1].perSecond) / alone.perSecond;
}

/** An answer of the key service, which the bare servers give too. */
async function goodAnswer(bed: Bed, server: Server, key: string): Promise<string> {
  const token = await bed.issuer.service('service-a', 'keys:verify');
  const body = { key, scopes: ['reports:read'] };
  for (let text = ''; ;) {
    ({ text } = await ask(server, '/v1/keys/verify', { token, body }));
    if (text.includes('"source":"cache"')) return text;
  }
}

/** The bare servers have one route. */
function rerouted(request: Buffer): Buffer {
  return Buffer.from(request.toString('latin1').replace('/v1/keys/verify', '/'), 'latin1');
}
