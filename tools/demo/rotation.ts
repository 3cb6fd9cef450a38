import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { keyInUse, repeatedIssuedKey, repeatedRotatedKey, type Key } from '#contracts';
import { call } from '../quickstart/http.js';
import { bearer } from '../quickstart/provision.js';
import { giveBackKey, serviceBWorks, showLogin, untilPickedUp, type Scene } from './flows.js';
import { startTraffic, type Traffic } from './traffic.js';

const PER_SECOND = 20;
/** How long the old secret goes on beside the new one. */
const OVERLAP_SECONDS = 4;
/** How long there is traffic before the rotation, and after the end of the old secret. */
const QUIET_MS = 2_500;
const PICK_UP_MS = 10_000;
const DELIVER_TO = { provider: 'files', path: 'service-b.key' };

/**
 * Shows that nobody notices a rotation: users call service-b all the time while its key gets a new secret, which goes straight
 * into the file that service-b reads, and until the old one has ended.
 *
 * @throws Error where one of their requests failed
 */
export async function playRotation(scene: Scene, restoreKey: () => void): Promise<void> {
  const { target, narrator } = scene;
  const token = await showLogin(scene);
  const hadGoodKey = await serviceBWorks(target, token);
  const key = await deliverKey(scene, token);

  narrator.chapter(`Users call service-b, ${PER_SECOND} times a second`);
  const traffic = startTraffic(`${target.serviceB}/v1/summary`, bearer(token), PER_SECOND);
  try {
    await rotate(scene, { token, key, traffic });
  } finally {
    await traffic.stop();
  }
  const counts = traffic.counts();

  narrator.chapter('What the users noticed');
  narrator.tell(
    `${counts.sent} requests, ${counts.good} answered 200, ${counts.failures.length} failed`,
  );
  if (counts.failures.length > 0) throw new Error(`a request failed: ${counts.failures[0]}`);
  if (hadGoodKey) await giveBackKey(scene, { token, restoreKey, keyId: key.id });
  console.log('\nAll answers were as expected.');
}

async function deliverKey({ target, narrator }: Scene, token: string): Promise<Key> {
  narrator.chapter('A key for service-b that nobody sees');
  const answer = await narrator.ask('The admin asks for a key that goes straight to service-b', {
    url: `${target.serviceA}/v1/api-keys`,
    ...bearer(token),
    body: {
      ...{ name: 'demo of a rotation', consumer: 'service-b', scopes: ['reports:read'] },
      ...{ expiresInSeconds: 86_400, deliverTo: DELIVER_TO },
    },
    status: 201,
  });
  const { key } = repeatedIssuedKey.parse(answer);
  await untilPickedUp(target, token, key.id);
  narrator.tell('service-b uses it');
  return key;
}

async function rotate(
  scene: Scene,
  { token, key, traffic }: { token: string; key: Key; traffic: Traffic },
): Promise<void> {
  const { target, narrator } = scene;
  const told = (what: string) => {
    const { sent, failures } = traffic.counts();
    narrator.tell(`${what} (${sent} requests so far, ${failures.length} failed)`);
  };
  await sleep(QUIET_MS);
  told('The users are served');
  const old = readFileSync(target.keyFile, 'utf8').trim();
  const before = await secretVersion(scene, token);
  const answer = await narrator.ask('The admin rotates the key; the new secret goes to service-b', {
    url: `${target.serviceA}/v1/api-keys/${key.id}/rotate`,
    ...bearer(token),
    body: { overlapSeconds: OVERLAP_SECONDS, deliverTo: DELIVER_TO },
    status: 200,
  });
  const { previous } = repeatedRotatedKey.parse(answer);
  await untilChanged(scene, token, before);
  told('service-b uses the new secret');
  await narrator.ask('Is the old secret still used?', {
    url: `${target.keyService}/v1/keys/${key.id}/rotation`,
    ...bearer(token),
    status: 200,
  });
  await sleep(Math.max(0, Date.parse(previous.validUntil) - Date.now()) + QUIET_MS);
  await narrator.ask('The old secret has ended: who still had it would be refused', {
    url: `${target.serviceA}/v1/reports`,
    headers: { 'x-api-key': old },
    status: 403,
    code: 'API_KEY_SUPERSEDED',
  });
  told('The users are served');
}

async function secretVersion({ target }: Scene, token: string): Promise<string | null> {
  const { body } = await call(`${target.serviceB}/v1/key-status`, bearer(token));
  return keyInUse.parse(body).secretVersion;
}

async function untilChanged(scene: Scene, token: string, before: string | null): Promise<void> {
  const untilMs = Date.now() + PICK_UP_MS;
  while (Date.now() < untilMs) {
    if ((await secretVersion(scene, token)) !== before) return;
    await sleep(50);
  }
  throw new Error('service-b did not pick up its new secret within 10 s');
}
