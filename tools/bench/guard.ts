import type { IssuedKey } from '#contracts';
import { createKeyGuard, type KeyGuardCore } from '#key-guard';
import { startLink, type Link } from '../../test/guard/support/link.js';
import type { Bed } from './bed.js';
import type { BenchOptions } from './options.js';
import type { Results } from './report.js';
import { seed } from './seed.js';
import { keyServices, OTHER_CORE, startGuarded, type Server } from './servers.js';
import { runSlice, type Slice, type Target } from './slices.js';
import { askingToken, lasting } from './targets.js';

const REVOCATIONS = 60;
const CUTS = 5;
const CHECKS = 20_000;
const KEYS = 100;
/** Keys of which nothing is remembered but what the rules need: more than a processor's own caches hold. */
const DECIDED_KEYS = 1_000;
const SCOPES = ['reports:read'];

/** What the measures share. */
interface Ground {
  service: Server;
  token: string;
  /** Issues a key without limits. */
  issue: (more?: object) => Promise<IssuedKey>;
  /** Resolves when the call has returned; with when that was. */
  revoke: (id: string, at: Server) => Promise<number>;
}

/** The guard: a check in process, a guarded route beside the same one unguarded, and how fast a revocation arrives. */
export async function measureGuard(
  bed: Bed,
  options: BenchOptions,
  results: Results,
): Promise<void> {
  const database = await bed.database('guard');
  await seed(database.ownerUrl, { keys: 1, pepper: bed.pepper });
  const start = keyServices(bed, null);
  // what is measured is the guarded service: the key service is among all else, on the other core
  const service = await start(database, OTHER_CORE);
  const servers = [service];
  const token = await askingToken(bed);
  const admin = await bed.issuer.person('usr_admin', lasting());
  const ground = { service, token, ...managing(service, admin) };
  try {
    const guarded = await startGuarded(bed, `http://127.0.0.1:${service.port}`, token);
    servers.push(guarded);
    await measureChecks(ground, results);
    await measureRoutes(ground, guarded, { options, results });
    await measureRevocations(ground, { at: service, name: 'revoke to 3 guards' }, results);
    await measureCutFeed(ground, results);
    // last, so that it has no share of the core before
    const replica = await start(database, OTHER_CORE);
    servers.push(replica);
    const name = 'revoke at another replica to 3 guards';
    await measureRevocations(ground, { at: replica, name }, results);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

function managing(service: Server, admin: string): Pick<Ground, 'issue' | 'revoke'> {
  const post = async ({ port }: Server, path: string, body: object): Promise<unknown> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const grants = [{ service: 'service-a', scopes: SCOPES }];
  return {
    issue: async (more = {}) => {
      const body = { name: 'bench', consumer: 'consumer-0', grants, ...more };
      return (await post(service, '/v1/keys', body)) as IssuedKey;
    },
    revoke: async (id, at) => {
      await post(at, `/v1/keys/${id}/revoke`, { reason: 'retired' });
      return performance.now();
    },
  };
}

/**
 * A check of a key that the guard knows: where it was let through for the same a moment ago, and where the digest of its text and
 * the rules are computed anew, as for every key with a list of addresses.
 */
async function measureChecks(ground: Ground, results: Results): Promise<void> {
  const recalled = await issueMany(ground, KEYS);
  await measureCheck('cached check', recalled, { ground, results });
  const decided = await issueMany(ground, DECIDED_KEYS, { ipAllowlist: ['10.0.0.0/8'] });
  await measureCheck('cached check, decided anew', decided, { ground, results });
}

async function measureCheck(
  name: string,
  keys: IssuedKey[],
  { ground, results }: { ground: Ground; results: Results },
): Promise<void> {
  const guard = guardAt(`http://127.0.0.1:${ground.service.port}`, ground.token);
  const requests = keys.map(({ secret }) => ({
    headers: { 'x-api-key': secret },
    ip: '10.0.0.1',
  }));
  for (const request of requests) await warm(guard, request);
  const tookUs: number[] = [];
  for (let i = 0; i < 5 * CHECKS; i += 1) {
    const startedNs = process.hrtime.bigint();
    const answer = guard.check(requests[i % requests.length]!, SCOPES);
    const us = Number(process.hrtime.bigint() - startedNs) / 1_000;
    if (answer instanceof Promise || !answer.allowed)
      throw new Error('A known key was asked about');
    if (i >= 4 * CHECKS) tookUs.push(us);
  }
  results.figure(`guard: ${name}, p50 us`, at(tookUs, 0.5), { atMost: 5 });
  results.figure(`guard: ${name}, p99 us`, at(tookUs, 0.99));
  await guard.close();
}

async function measureRoutes(
  ground: Ground,
  guarded: Server,
  { options, results }: { options: BenchOptions; results: Results },
): Promise<void> {
  const keys = await issueMany(ground, KEYS);
  const requests = keys.map(
    ({ secret }) =>
      (path: string) =>
        Buffer.from(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: ${secret}\r\n\r\n`),
  );
  const target = (path: string): Target => ({
    name: path,
    port: guarded.port,
    pids: [guarded.pid],
    requests: requests.map((one) => one(path)),
    expected: ['Opening balance'],
  });
  const [open, nodded, under] = [target('/open'), target('/nodded'), target('/guarded')];
  const all = [open, nodded, under];
  for (const one of all) await runSlice(one, { ...options, sliceMs: options.warmUpMs });
  for (let round = 0; round < options.rounds; round += 1) {
    const seen = new Map<Target, Slice>();
    for (const one of round % 2 === 0 ? all : all.toReversed())
      seen.set(one, await runSlice(one, options));
    const [theirs, least, ours] = all.map((one) => seen.get(one)!) as [Slice, Slice, Slice];
    refuseSpoilt(theirs, least, ours);
    results.figure('guard: guarded route, requests/s', ours.perSecond);
    const name = 'guarded route / the same without a guard';
    results.ratio(name, ours.perSecond / theirs.perSecond, { atLeast: 0.9 });
    results.ratio(`${name}, CPU`, theirs.cpuUs / ours.cpuUs);
    const leastName = 'route under a guard that does nothing / the same without a guard';
    results.ratio(leastName, least.perSecond / theirs.perSecond);
    results.ratio(`${leastName}, CPU`, theirs.cpuUs / least.cpuUs);
  }
}

function refuseSpoilt(...slices: Slice[]): void {
  for (const { spoiltBy } of slices)
    if (spoiltBy !== undefined) throw new Error(`A bad answer: ${spoiltBy.slice(0, 300)}`);
}

/** How long after a revocation has returned three guards still let the key pass, who are told by the one key service alone. */
async function measureRevocations(
  ground: Ground,
  { at: replica, name }: { at: Server; name: string },
  results: Results,
): Promise<void> {
  const guards = Array.from({ length: 3 }, () =>
    guardAt(`http://127.0.0.1:${ground.service.port}`, ground.token),
  );
  const tookMs: number[] = [];
  for (let i = 0; i < REVOCATIONS; i += 1) {
    const { key, secret } = await ground.issue();
    const request = { headers: { 'x-api-key': secret }, ip: '10.0.0.1' };
    for (const guard of guards) await warm(guard, request);
    const returnedMs = await ground.revoke(key.id, replica);
    const heard = guards.map((guard) => refusedAtMs(guard, request));
    for (const one of await Promise.all(heard)) tookMs.push(Math.max(0, one - returnedMs));
  }
  results.figure(`guard: ${name}, p50 ms`, at(tookMs, 0.5));
  results.figure(`guard: ${name}, p99 ms`, at(tookMs, 0.99), { atMost: 250 });
  await Promise.all(guards.map((one) => one.close()));
}

async function measureCutFeed(ground: Ground, results: Results): Promise<void> {
  const link: Link = await startLink(`http://127.0.0.1:${ground.service.port}`);
  const guard = guardAt(link.url, ground.token);
  for (let i = 0; i < CUTS; i += 1) {
    const { key, secret } = await ground.issue();
    const request = { headers: { 'x-api-key': secret }, ip: '10.0.0.1' };
    await warm(guard, request);
    link.holdFeed(true);
    const returnedMs = await ground.revoke(key.id, ground.service);
    const heardMs = await refusedAtMs(guard, request);
    results.figure('guard: revoke with the feed cut, ms', heardMs - returnedMs, { atMost: 2_000 });
    link.holdFeed(false);
  }
  await guard.close();
  await link.close();
}

/** One after the other: a machine that is busy would turn many at once away. */
async function issueMany({ issue }: Ground, count: number, more = {}): Promise<IssuedKey[]> {
  const keys = [];
  for (let i = 0; i < count; i += 1) keys.push(await issue(more));
  return keys;
}

type Request = Parameters<KeyGuardCore['check']>[0];

function guardAt(url: string, token: string): KeyGuardCore {
  return createKeyGuard({ urls: [url], token: () => Promise.resolve(token), service: 'service-a' });
}

/** Asks until the guard lets the key pass by itself. */
async function warm(guard: KeyGuardCore, request: Request): Promise<void> {
  for (;;) {
    const answer = guard.check(request, SCOPES);
    if (!(answer instanceof Promise) && answer.allowed) return;
    await answer;
    await turn();
  }
}

/** When a check began that did not let the key pass any more. */
async function refusedAtMs(guard: KeyGuardCore, request: Request): Promise<number> {
  for (;;) {
    const startedMs = performance.now();
    if (!(await guard.check(request, SCOPES)).allowed) return startedMs;
    await turn();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

function at(figures: readonly number[], share: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
