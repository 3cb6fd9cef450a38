import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  issuedKey,
  importList,
  parityReport,
  type ImportMode,
  type IssuedKey,
  type ParityReport,
} from '#contracts';
import { readEnvFile } from '#server';
import { migrate } from '../../migrations/migrate.js';
import { handOverTo, takeOverFrom, type OwnStore } from '../local-keys/moves.js';
import { call } from '../quickstart/http.js';
import { bearer, logIn } from '../quickstart/provision.js';
import { openFrontDoor, type FrontDoor } from './front-door.js';
import type { Narrator } from './narrator.js';
import { startServiceA, type RunningServiceA } from './service-a-process.js';
import { startTarget, type Target } from './target.js';
import { startTraffic, type Traffic } from './traffic.js';

/** Enough requests to see that a step does no harm. */
const A_WHILE = 60;
const AGREED = 40;
const PER_SECOND = 50;
const WAIT_MS = 20_000;

/** What the steps share. */
interface Move {
  target: Target;
  narrator: Narrator;
  token: string;
  store: OwnStore;
  env: Record<string, string>;
  door: FrontDoor;
  running: RunningServiceA | null;
}

/**
 * Shows both patterns and the way between: service-a manages its own keys, hands them over to the key service, and takes them back, while
 * one client calls all the time with one key that is never issued anew. On a platform of its own.
 *
 * @throws Error where any of the client's requests failed, or a step did not do what it should
 */
export async function showMigration(narrator: Narrator): Promise<void> {
  const target = await startTarget();
  const door = await openFrontDoor();
  let move: Move | null = null;
  try {
    move = await begin(target, door, narrator);
    await walk(move);
  } finally {
    await move?.running?.stop();
    await door.close();
    await target.release();
  }
}

async function begin(target: Target, door: FrontDoor, narrator: Narrator): Promise<Move> {
  const env = readEnvFile(join(dirname(target.keyFile), 'env'));
  const ownerUrl = env['MIGRATION_DATABASE_URL'] ?? '';
  const url = new URL(ownerUrl);
  url.username = 'service_a_app';
  url.password = randomBytes(18).toString('hex');
  await migrate({ ownerUrl, serviceAUrl: url.href });
  const token = await logIn(target.login, target.admin);
  if (token === null) throw new Error('The admin may not log in');
  const store = { databaseUrl: url.href, secret: randomBytes(32) };
  const own = {
    ...env,
    SERVICE_A_DATABASE_URL: store.databaseUrl,
    SERVICE_A_KEY_SECRET: store.secret.toString('base64'),
  };
  return { target, narrator, token, store, env: own, door, running: null };
}

async function walk(move: Move): Promise<void> {
  const { narrator, door } = move;
  narrator.chapter('Pattern 1: service-a manages its own keys');
  await restart(move, 'local');
  const { key, secret } = await issue(move);
  const url = `${door.url}/v1/reports`;
  const traffic = startTraffic(url, { headers: { 'x-api-key': secret } }, PER_SECOND);
  try {
    await more(traffic);
    await moveIn(move, key.id, traffic);
    await moveOut(move, traffic);
  } finally {
    await traffic.stop();
  }
  const { sent, good, failures } = traffic.counts();
  narrator.tell(`One key, ${sent} requests, ${sent - good} of them failed`);
  if (failures.length > 0) throw new Error(`Requests failed: ${failures.slice(0, 5).join('; ')}`);
}

/** Pattern 1 to Pattern 2. */
async function moveIn(move: Move, keyId: string, traffic: Traffic): Promise<void> {
  const { narrator, target, token, store } = move;
  narrator.chapter('Pattern 1 -> 2: shadow, both decide and only service-a counts');
  const handed = await handOverTo({ url: target.keyService, token }, store);
  narrator.tell(`Handed over: ${handed.created} key, as a digest; the client knows nothing of it`);
  const id = handed.imports[0]!.id;
  await restart(move, 'dual');
  const report = await untilAgreed(move, id);
  narrator.tell(
    `Parity: ${report.agree} agree, ${report.onlyOld} only old, ${report.onlyCentral} only central`,
  );
  if (report.onlyOld + report.onlyCentral > 0) throw new Error('The sides do not agree');
  await moveTo(move, 'dual');
  await more(traffic);
  await moveTo(move, 'cutover');
  await more(traffic);
  narrator.chapter('Pattern 2: the key service alone; service-a has no store any more');
  await restart(move, 'central');
  await more(traffic);
  await narrator.ask('The same key, at the key service', {
    url: `${target.keyService}/v1/keys/${keyId}`,
    ...bearer(token),
    status: 200,
  });
}

/** Pattern 2 to Pattern 1. */
async function moveOut(move: Move, traffic: Traffic): Promise<void> {
  const { narrator, target, token, store } = move;
  narrator.chapter('Pattern 2 -> 1: an export, signed, and sealed to service-a');
  const taken = await takeOverFrom({ url: target.keyService, token }, store);
  narrator.tell(`Taken over: ${taken.keys} keys, ${taken.unknown.length} of them unknown by text`);
  await restart(move, 'dual');
  await moveTo(move, 'dual');
  await more(traffic);
  await moveTo(move, 'shadow');
  await more(traffic);
  narrator.chapter('Pattern 1 again: service-a alone, with the same key');
  await restart(move, 'local');
  await more(traffic);
}

/** Lets the client go on for a while. @throws Error where it gets no good answers */
async function more(traffic: Traffic): Promise<void> {
  const wanted = traffic.counts().good + A_WHILE;
  for (const until = Date.now() + WAIT_MS; traffic.counts().good < wanted; await sleep(20))
    if (Date.now() > until) throw new Error('The client gets no good answers');
}

/** A new process in another mode takes over behind the front door; the old one finishes what it has begun. */
async function restart(move: Move, mode: 'local' | 'dual' | 'central'): Promise<void> {
  const { narrator, env, door } = move;
  const before = move.running;
  move.running = await startServiceA({ ...env, SERVICE_A_KEYS: mode });
  await door.leadTo(move.running.url);
  await before?.stop();
  narrator.tell(`service-a runs with SERVICE_A_KEYS=${mode}`);
}

async function issue({ narrator, door, token }: Move): Promise<IssuedKey> {
  return issuedKey.parse(
    await narrator.ask('The admin asks service-a for a key; service-a makes it', {
      url: `${door.url}/v1/api-keys`,
      ...bearer(token),
      body: {
        name: 'moved',
        consumer: 'service-b',
        scopes: ['reports:read'],
        expiresInSeconds: 86_400,
      },
      status: 201,
    }),
  );
}

async function moveTo({ narrator, target, token }: Move, mode: ImportMode): Promise<void> {
  const moved = importList.parse(
    await narrator.ask(`One call says which side counts: ${mode}`, {
      url: `${target.keyService}/v1/imports/move`,
      ...bearer(token),
      body: { service: 'service-a', mode },
      status: 200,
    }),
  );
  const stayed = moved.data.filter((one) => one.mode !== mode);
  if (stayed.length > 0) throw new Error(`${stayed[0]!.id} stayed in ${stayed[0]!.mode}`);
}

async function untilAgreed({ target, token }: Move, id: string): Promise<ParityReport> {
  for (const until = Date.now() + WAIT_MS; ; await sleep(200)) {
    const { body } = await call(`${target.keyService}/v1/imports/${id}/parity`, bearer(token));
    const report = parityReport.parse(body);
    if (report.agree >= AGREED) return report;
    if (Date.now() > until) throw new Error('No parity is reported');
  }
}
