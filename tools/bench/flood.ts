import { setTimeout as delay } from 'node:timers/promises';
import * as argon2 from 'argon2';
import { hashSync } from 'bcryptjs';
import { call } from '../quickstart/http.js';
import { bearer } from '../quickstart/provision.js';
import type { Bed } from './bed.js';
import { quantileOf, requestOf } from './load.js';
import type { BenchOptions } from './options.js';
import type { Results } from './report.js';
import { seed } from './seed.js';
import { keyServices, type Server } from './servers.js';
import { runSlice, warmUp, type Slice, type Target } from './slices.js';
import { askingToken, verifications } from './targets.js';

const OTHERS_PER_SECOND = 1_000;
const GUESSES_PER_SECOND = 500;
const IMPORTED = 200;
const COST = 10;
/** What OWASP names for argon2id. */
const ARGON2 = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
/** So many that those which wait for a hash hold up no others. */
const FLOOD_CONNECTIONS = 64;
/** The flood begins so long before others are measured and ends as long after: to open its connections is not the flood. */
const AROUND_MS = 1_000;
const SECRET = 'not guessed';
const GOAL = { atMost: 1.2 };

const ORDINARY = 'ordinary wrong secrets';

type Slow = 'bcrypt' | 'argon2id';

/** Guesses, and what others waited during them in all rounds. */
interface Flood {
  name: string;
  target: Target;
  duringMs: number[];
}

/**
 * The p99 of verifications at a steady rate, alone and during 500 wrong secrets a second on imported bcrypt hashes, of one source and
 * of many, and on argon2id hashes. Beside it the same number of wrong secrets of ordinary keys, for what so many more requests cost of any kind.
 */
export async function measureFlood(
  bed: Bed,
  options: BenchOptions,
  results: Results,
): Promise<void> {
  const database = await bed.database('bench');
  const texts = await seed(database.ownerUrl, { keys: options.keys, pepper: bed.pepper });
  const server = await keyServices(bed, null)(database);
  try {
    await importHashes(bed, server, { algorithm: 'bcrypt', hash: hashSync(SECRET, COST) });
    const hash = await argon2.hash(SECRET, ARGON2);
    await importHashes(bed, server, { algorithm: 'argon2id', hash });
    const others = {
      ...(await verifications(bed, { server, texts })),
      expected: ['"valid":true'],
    };
    const many = (n: number) => `203.0.${n % 200}.${Math.floor(n / 200) % 200}`;
    const guessed = (algorithm: Slow, ipOf: (n: number) => string) =>
      refused(bed, server, guesses(algorithm, ipOf, options));
    const floods: Flood[] = [
      flood(ORDINARY, await refused(bed, server, wrongSecrets(texts))),
      flood('bcrypt, one source', await guessed('bcrypt', () => '203.0.113.1')),
      flood('bcrypt, many sources', await guessed('bcrypt', many)),
      flood('argon2id, many sources', await guessed('argon2id', many)),
    ];
    await warmUp(others, options);
    for (const { target } of floods)
      await runFlood(target, { ...options, sliceMs: options.warmUpMs });
    const aloneMs: number[] = [];
    for (let round = 0; round < options.rounds; round += 1) {
      process.stdout.write(`\rround ${round + 1} of ${options.rounds} `);
      for (const one of floods)
        aloneMs.push(...(await runRound(others, one, { options, results })));
    }
    notePooled(aloneMs, floods, results);
  } finally {
    await server.stop();
  }
}

/** @returns what others waited alone */
async function runRound(
  others: Target,
  { name, target, duringMs }: Flood,
  { options, results }: { options: BenchOptions; results: Results },
): Promise<readonly number[]> {
  const alone = () => runSlice(others, options, OTHERS_PER_SECOND);
  const calm = await alone();
  const later = () => delay(AROUND_MS).then(alone);
  const whole = { ...options, sliceMs: options.sliceMs + 2 * AROUND_MS };
  const [during] = await Promise.all([later(), runFlood(target, whole)]);
  refuseSpoilt(calm, during);
  duringMs.push(...during.latencies);
  results.figure('p99 alone, ms', calm.p99Ms);
  results.figure(`p99 during ${name}, ms`, during.p99Ms);
  results.ratio(`p99 during ${name} / alone`, during.p99Ms / calm.p99Ms, goalOf(name));
  return calm.latencies;
}

/** Of all rounds together: a collection of the heap more or less decides nothing there, nor what else the machine did for a moment. */
function notePooled(aloneMs: number[], floods: readonly Flood[], results: Results): void {
  const aloneP99Ms = p99Of(aloneMs);
  const ordinary = floods.find(({ name }) => name === ORDINARY)!;
  const ordinaryP99Ms = p99Of(ordinary.duringMs);
  for (const { name, duringMs } of floods) {
    const p99Ms = p99Of(duringMs);
    const pooled = 'all rounds together';
    results.ratio(`p99 during ${name} / alone, ${pooled}`, p99Ms / aloneP99Ms, goalOf(name));
    if (name !== ORDINARY)
      results.ratio(`p99 during ${name} / ${ORDINARY}, ${pooled}`, p99Ms / ordinaryP99Ms);
  }
}

function p99Of(latencies: number[]): number {
  return quantileOf(
    latencies.toSorted((a, b) => a - b),
    0.99,
  );
}

function goalOf(name: string): { atMost?: number } {
  return name === ORDINARY ? {} : GOAL;
}

function flood(name: string, target: Target): Flood {
  return { name, target, duringMs: [] };
}

function runFlood(target: Target, options: BenchOptions): Promise<Slice> {
  return runSlice(target, { ...options, connections: FLOOD_CONNECTIONS }, GUESSES_PER_SECOND);
}

function refuseSpoilt(...slices: Slice[]): void {
  for (const { spoiltBy } of slices)
    if (spoiltBy !== undefined) throw new Error(`Others were not answered as usual: ${spoiltBy}`);
}

async function importHashes(
  bed: Bed,
  server: Server,
  { algorithm, hash }: { algorithm: Slow; hash: string },
): Promise<void> {
  const items = Array.from({ length: IMPORTED }, (_, n) => ({
    ...{ item: `${algorithm}-${n}`, hash, locator: `${algorithm}_${n}`, consumer: 'consumer-0' },
    ...{ scopes: ['reports:read'], expiresAt: null },
  }));
  const scheme = {
    ...{ algorithm, shape: { prefix: `${algorithm}_` } },
    locator: { kind: 'part', separator: '.', index: 0 },
  };
  const body = { service: 'service-a', source: algorithm, mode: 'dual', scheme, items };
  const admin = await bed.issuer.person('usr_bench');
  const url = `http://127.0.0.1:${server.port}/v1/imports`;
  const { status } = await call(url, { ...bearer(admin), body });
  if (status !== 200) throw new Error(`Importing was answered ${status}`);
}

/** As many as are sent in all rounds: each is a guess of its own. */
function guesses(
  algorithm: Slow,
  ipOf: (n: number) => string,
  { rounds, sliceMs, warmUpMs }: BenchOptions,
): object[] {
  const seconds = (rounds * (sliceMs + 2 * AROUND_MS) + warmUpMs) / 1_000;
  return Array.from({ length: Math.ceil(seconds * GUESSES_PER_SECOND) }, (_, n) => ({
    ...{ key: `${algorithm}_${n % IMPORTED}.guess${n}`, clientIp: ipOf(n) },
  }));
}

function wrongSecrets(texts: readonly string[]): object[] {
  const wrong = (text: string): string =>
    `${text.slice(0, 30)}${text[30] === 'a' ? 'b' : 'a'}${text.slice(31)}`;
  return texts.map((text) => ({ key: wrong(text), clientIp: '203.0.113.1' }));
}

async function refused(bed: Bed, server: Server, bodies: readonly object[]): Promise<Target> {
  const token = await askingToken(bed);
  return {
    ...{ name: 'guesses', port: server.port, pids: [server.pid], expected: ['"valid":false'] },
    requests: bodies.map((body) => requestOf('/v1/keys/verify', { token, body })),
  };
}
