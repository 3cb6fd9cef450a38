import type { Bed } from './bed.js';
import { requestOf } from './load.js';
import type { BenchOptions } from './options.js';
import type { Results } from './report.js';
import { seed } from './seed.js';
import { keyServices, startBare, type Server } from './servers.js';
import { runSlice, spreadOf, warmUp, type Slice, type Target } from './slices.js';

const BATCH = 100;
const STARTS = 3;
/** Keys besides, of which only the store is asked: that fills the cache anew, and what a process knew of them is no hit then. */
const MISSED_KEYS = 2_000;
const GOOD = '"valid":true';
const HIT = [GOOD, '"source":"cache"'];
const MISS = [GOOD, '"source":"store"'];
const FROM_STORE = { 'cache-control': 'no-cache' };

/** The hot path beside bare Fastify: every figure and ratio of `npm run bench` without a mode. */
export async function measureHotPath(
  bed: Bed,
  options: BenchOptions,
  results: Results,
): Promise<void> {
  const database = await bed.database('bench');
  const keys = options.keys + MISSED_KEYS;
  const texts = await seed(database.ownerUrl, { keys, pepper: bed.pepper });
  const startKeyService = keyServices(bed, options.profileDir);
  const stopped: Server[] = [];
  for (let i = 0; i < STARTS; i += 1) {
    const server = await startKeyService(database);
    results.figure('cold start to ready, ms', server.startMs, { atMost: 2_000 });
    if (i < STARTS - 1) await server.stop();
    else stopped.push(server);
  }
  const service = stopped[0]!;
  try {
    const targets = await makeTargets(bed, options, {
      service,
      texts,
      runtimeUrl: database.runtimeUrl,
    });
    stopped.push(...targets.bare);
    for (const target of targets.all) await warmUp(target, options);
    if (options.profileDir !== null) service.tell('start');
    await runRounds(targets, options, results);
    if (options.profileDir !== null) {
      service.tell('save');
      await service.answered();
    }
  } finally {
    await Promise.all(stopped.map((server) => server.stop()));
  }
}

interface Targets {
  all: Target[];
  bare: Server[];
  pairs: Pair[];
}

/** Two targets of one ratio of keys a second. */
interface Pair {
  path: BenchOptions['only'];
  name: string;
  ours: Target;
  theirs: Target;
  goal: number;
}

async function makeTargets(
  bed: Bed,
  { only }: BenchOptions,
  { service, texts, runtimeUrl }: { service: Server; texts: string[]; runtimeUrl: string },
): Promise<Targets> {
  const token = await bed.issuer.service('service-a', 'keys:verify');
  const all = shuffled(texts).map((key) => ({ key, scopes: ['reports:read'] }));
  const [missed, bodies] = [all.slice(0, MISSED_KEYS), all.slice(MISSED_KEYS)];
  const verifyAll = (some: typeof all, headers: object) =>
    some.map((body) => requestOf('/v1/keys/verify', { token, body, headers }));
  const answer = await answerFromCache(service, { token, body: bodies[0] });
  const ours = { port: service.port, pids: [service.pid] };
  const verify = { ...ours, name: 'verify', requests: verifyAll(bodies, {}), expected: HIT };
  const miss = {
    ...ours,
    name: 'verify, store miss',
    requests: verifyAll(missed, FROM_STORE),
    expected: MISS,
  };

  const bareOptions = { runtimeUrl, answer };
  const servers = await Promise.all([
    startBare(bed, 'static', bareOptions),
    startBare(bed, 'script', bareOptions),
    startBare(bed, 'select', bareOptions),
  ]);
  const [bare, script, select] = servers.map(({ name, port, pid }): Target => {
    const asked = name === 'bare-select' ? missed : bodies;
    const requests = asked.map((body) => requestOf('/', { token, body }));
    return { name, port, pids: [pid], expected: HIT, requests };
  }) as [Target, Target, Target];
  const pairs: Pair[] = [
    { path: 'verify', name: 'verify / bare script', ours: verify, theirs: script, goal: 0.85 },
    { path: 'verify', name: 'verify / bare static', ours: verify, theirs: bare, goal: 0 },
    { path: 'miss', name: 'store miss / bare select', ours: miss, theirs: select, goal: 0.8 },
  ];
  const batch = await batchPair(bed, { service, token, bodies, bareOptions });
  if (batch === null) console.log('There is no POST /v1/keys/verify-batch: it is not measured');
  else {
    pairs.push(batch.pair);
    servers.push(batch.server);
  }
  const wanted = pairs.filter(({ path }) => only === null || path === only);
  const targets = new Set(wanted.flatMap(({ ours, theirs }) => [ours, theirs]));
  return { all: [...targets], pairs: wanted, bare: servers };
}

async function batchPair(
  bed: Bed,
  {
    service,
    token,
    bodies,
    bareOptions,
  }: {
    service: Server;
    token: string;
    bodies: { key: string; scopes: string[] }[];
    bareOptions: { runtimeUrl: string; answer: string };
  },
): Promise<{ pair: Pair; server: Server } | null> {
  const batches = Array.from({ length: Math.ceil(bodies.length / BATCH) }, (_, i) => ({
    requests: bodies.slice(i * BATCH, (i + 1) * BATCH),
  }));
  const path = '/v1/keys/verify-batch';
  const { status } = await ask(service, path, { token, body: batches[0] });
  if (status === 404 || status === 405) return null;
  const server = await startBare(bed, 'pipeline', bareOptions);
  const common = { keysEach: BATCH, expected: HIT };
  return {
    server,
    pair: {
      path: 'batch',
      name: 'batch of 100 / bare pipeline',
      goal: 0.8,
      ours: {
        ...common,
        name: 'verify-batch',
        port: service.port,
        pids: [service.pid],
        requests: batches.map((body) => requestOf(path, { token, body })),
      },
      theirs: {
        ...common,
        name: server.name,
        port: server.port,
        pids: [server.pid],
        requests: batches.map((body) => requestOf('/', { token, body })),
      },
    },
  };
}

/** Rounds whose answers are not what is measured are thrown away and repeated, as many as were asked for at most. */
async function runRounds(targets: Targets, options: BenchOptions, results: Results): Promise<void> {
  const seen = new Map<Target, number[]>();
  let spoilt = 0;
  for (let round = 0; round < options.rounds;) {
    process.stdout.write(`\rround ${round + 1} of ${options.rounds} `);
    const isReversed = (round + spoilt) % 2 === 1;
    const { full, half } = await runRound(targets, { options, seen, isReversed });
    const spoiltBy = [...full.values(), ...half.values()].find((one) => one.spoiltBy)?.spoiltBy;
    if (spoiltBy === undefined) {
      round += 1;
      note(targets, { full, half }, results);
    } else if (++spoilt > options.rounds) {
      throw new Error(`Too many answers are not what is measured, such as:\n${spoiltBy}`);
    }
  }
  if (spoilt > 0)
    console.log(`\n${spoilt} rounds were thrown away for answers such as from the store`);
}

/** Slices of one round: at full load, and at half of what each target reaches. */
interface Round {
  full: Map<Target, Slice>;
  half: Map<Target, Slice>;
}

async function runRound(
  { all, pairs }: Targets,
  by: { options: BenchOptions; seen: Map<Target, number[]>; isReversed: boolean },
): Promise<Round> {
  const inTurn = (targets: Target[]) => (by.isReversed ? targets.toReversed() : targets);
  const full = new Map<Target, Slice>();
  for (const target of inTurn(all)) {
    const slice = await runSlice(target, by.options);
    full.set(target, slice);
    by.seen.set(target, [...(by.seen.get(target) ?? []), slice.perSecond]);
  }
  const half = new Map<Target, Slice>();
  const pair = pairs.find(({ path }) => path === 'verify');
  for (const target of pair ? inTurn([pair.ours, pair.theirs]) : []) {
    const perSecond = spreadOf(by.seen.get(target)!).median / 2;
    half.set(target, await runSlice(target, by.options, perSecond));
  }
  return { full, half };
}

function note({ pairs }: Targets, { full, half }: Round, results: Results): void {
  for (const [{ name }, slice] of full) {
    results.figure(`${name}, keys/s`, slice.perSecond);
    results.figure(`${name}, CPU us a key`, slice.cpuUs);
  }
  for (const { name, ours, theirs, goal } of pairs) {
    const [our, their] = [full.get(ours)!, full.get(theirs)!];
    results.ratio(name, our.perSecond / their.perSecond, goal > 0 ? { atLeast: goal } : {});
    results.ratio(`${name}, by CPU time`, their.cpuUs / our.cpuUs);
  }
  const [first, second] = [...half].toSorted(([a]) => (a.name === 'verify' ? -1 : 1));
  if (first === undefined || second === undefined) return;
  for (const [{ name }, { p99Ms }] of [first, second]) {
    results.figure(`${name}, p99 at half load, ms`, p99Ms);
  }
  const ratio = first[1].p99Ms / second[1].p99Ms;
  results.ratio('p99 at half load, verify / bare script', ratio, { atMost: 2 });
}

/** A good answer whose record was cached; the bare servers give it too. */
async function answerFromCache(
  service: Server,
  request: { token: string; body: unknown },
): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    const { text } = await ask(service, '/v1/keys/verify', request);
    if (HIT.every((part) => text.includes(part))) return text;
    if (tries === 10) throw new Error(`Not an answer from the cache: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** One answer of a server. */
export async function ask(
  { port }: Server,
  path: string,
  { token, body }: { token: string; body?: unknown },
): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, text: await answer.text() };
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
