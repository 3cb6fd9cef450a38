import type { Bed } from './bed.js';
import { watch } from './busy.js';
import type { BenchOptions } from './options.js';
import type { Results } from './report.js';
import { seed } from './seed.js';
import { keyServices, SERVER_CORE, SECOND_CORE, startBare, type Server } from './servers.js';
import { runSlice, warmUp, type Target } from './slices.js';
import { answerFromCache, askingToken, verifications } from './targets.js';

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
    const answer = await answerFromCache(ours[0]!, {
      token: await askingToken(bed),
      body: { key: texts[0], scopes: ['reports:read'] },
    });
    const bareOptions = { runtimeUrl: database.runtimeUrl, answer };
    for (const core of [SERVER_CORE, SECOND_CORE])
      servers.push(await startBare(bed, 'script', { ...bareOptions, core }));
    const bare = servers.slice(2).map(({ name, port, pid }, i): Target => ({
      ...verify[i]!,
      ...{ name, port, pids: [pid] },
      requests: verify[i]!.requests.map((one) => rerouted(one)),
    })) as Two;
    for (const target of [...verify, ...bare]) await warmUp(target, options);
    for (let round = 0; round < options.rounds; round += 1) {
      process.stdout.write(`\rround ${round + 1} of ${options.rounds} `);
      const inTurn = round % 2 === 0 ? [verify, bare] : [bare, verify];
      const gains = new Map<Two, number>();
      for (const two of inTurn) {
        const { alone, both } = await gainOf(two, { bed, options });
        gains.set(two, both.perSecond / alone.perSecond);
        note(results, `one of ${two[0].name}`, alone);
        note(results, `two of ${two[0].name}`, both);
      }
      const [our, their] = [gains.get(verify)!, gains.get(bare)!];
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

/** Keys a second, and CPU time for each of all that take part. */
interface Work {
  perSecond: number;
  cpuUs: Record<string, number>;
  spoiltBy: string | undefined;
}

function note(results: Results, name: string, { perSecond, cpuUs }: Work): void {
  results.figure(`${name}, keys/s`, perSecond);
  for (const [who, us] of Object.entries(cpuUs)) results.figure(`${name}, CPU us of ${who}`, us);
}

/** One alone, then both at a time. Taken again where answers are not what is measured. */
async function gainOf(
  [first, second]: Two,
  by: { bed: Bed; options: BenchOptions; tries?: number },
): Promise<{ alone: Work; both: Work }> {
  const { options, tries = options.rounds } = by;
  const half = { ...options, connections: Math.ceil(options.connections / 2) };
  const alone = await workOf(by, [first], options);
  const both = await workOf(by, [first, second], half);
  const spoiltBy = alone.spoiltBy ?? both.spoiltBy;
  if (spoiltBy === undefined) return { alone, both };
  if (tries > 0) return gainOf([first, second], { ...by, tries: tries - 1 });
  throw new Error(`Not what is measured:\n${spoiltBy}`);
}

/** Loads some targets for two slices, of which the first is not measured: it bears what is left to do of other load. */
async function workOf(
  { bed }: { bed: Bed },
  targets: Target[],
  options: BenchOptions,
): Promise<Work> {
  const run = () => Promise.all(targets.map((target) => runSlice(target, options)));
  await run();
  const { value: slices, seconds, cpuUs: used } = await watch(bed, targets, run);
  const perSecond = slices.reduce((sum, one) => sum + one.perSecond, 0);
  const cpuUs = Object.fromEntries(
    Object.entries(used).map(([who, us]) => [who, us / (perSecond * seconds)]),
  );
  return { perSecond, cpuUs, spoiltBy: slices.find((one) => one.spoiltBy)?.spoiltBy };
}

/** The bare servers have one route. */
function rerouted(request: Buffer): Buffer {
  return Buffer.from(request.toString('latin1').replace('/v1/keys/verify', '/'), 'latin1');
}
