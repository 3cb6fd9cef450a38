import { existsSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { issuedKey, keyInUse, tokenPair, type IssuedKey } from '#contracts';
import { writePrivate } from '../quickstart/home.js';
import { call } from '../quickstart/http.js';
import { bearer } from '../quickstart/provision.js';
import type { Narrator } from './narrator.js';
import type { Target } from './target.js';

/** What the flows need. */
export interface Scene {
  target: Target;
  narrator: Narrator;
}

/** Within this time service-b uses a key that was put into its file. */
const PICK_UP_MS = 10_000;

/** Flow 1: the admin logs in at service-a, which asks login. Returns the access token. */
export async function showLogin({ target, narrator }: Scene): Promise<string> {
  const { admin, serviceA, login } = target;
  narrator.chapter('Login: user -> service-a -> login');
  const pair = await narrator.ask('The admin logs in at service-a, which forwards to login', {
    url: `${serviceA}/v1/login`,
    body: { username: admin.username, password: admin.password },
    status: 200,
  });
  const { accessToken } = tokenPair.parse(pair);
  await narrator.ask('Who does login say that is?', {
    url: `${login}/v1/me`,
    ...bearer(accessToken),
    status: 200,
  });
  return accessToken;
}

/** Flow 2: the admin has a key made by way of service-a and stores it where service-b reads it. */
export async function showProvisioning(
  { target, narrator }: Scene,
  token: string,
  name: string,
): Promise<IssuedKey> {
  const issued = issuedKey.parse(
    await narrator.ask(
      'The admin asks service-a for a key for service-b; the key service makes it',
      {
        url: `${target.serviceA}/v1/api-keys`,
        ...bearer(token),
        body: { name, consumer: 'service-b', scopes: ['reports:read'], expiresInSeconds: 86_400 },
        status: 201,
      },
    ),
  );
  storeKey(target, issued.secret);
  narrator.tell(`The admin stores the key where service-b reads it: ${target.keyFile}`);
  return issued;
}

/** Flow 3: a user calls service-b, which calls service-a with its key. */
export async function showCall(
  { target, narrator }: Scene,
  token: string,
  keyId: string,
): Promise<void> {
  await untilPickedUp(target, token, keyId);
  await narrator.ask('A user asks service-b, which asks service-a with its key', {
    url: `${target.serviceB}/v1/summary`,
    ...bearer(token),
    status: 200,
  });
  await narrator.ask('Which key does service-b use? (It never tells the key itself)', {
    url: `${target.serviceB}/v1/key-status`,
    ...bearer(token),
    status: 200,
  });
}

/** What service-a answers those who come without a key, or with one that nobody has made. */
export async function showRefusals({ target, narrator }: Scene): Promise<void> {
  const url = `${target.serviceA}/v1/reports`;
  await narrator.ask('Without a key service-a asks for one', {
    url,
    status: 401,
    code: 'API_KEY_MISSING',
  });
  await narrator.ask('With something that is no key it refuses', {
    url,
    headers: { 'x-api-key': `kw_live_${'0'.repeat(16)}_${'0'.repeat(49)}` },
    status: 403,
    code: 'API_KEY_INVALID',
  });
}

/** The admin revokes a key by way of service-a; whoever uses it is refused from then on. */
export async function showRevocation(
  { target, narrator }: Scene,
  token: string,
  issued: IssuedKey,
): Promise<void> {
  await revoke({ target, narrator }, token, issued.key.id);
  await narrator.ask("service-b's next call fails cleanly, and tells the user nothing of the key", {
    url: `${target.serviceB}/v1/summary`,
    ...bearer(token),
    status: 502,
    code: 'UPSTREAM_REFUSED',
    withinMs: 2_000,
  });
  await narrator.ask('service-a itself says why', {
    url: `${target.serviceA}/v1/reports`,
    headers: { 'x-api-key': issued.secret },
    status: 403,
    code: 'API_KEY_REVOKED',
  });
}

/** Ends a key for good. */
export async function revoke(
  { target, narrator }: Scene,
  token: string,
  keyId: string,
): Promise<void> {
  await narrator.ask(
    'The admin revokes the key; when the call returns it is dead, and every guard knows in a moment',
    {
      url: `${target.serviceA}/v1/api-keys/${keyId}/revoke`,
      ...bearer(token),
      body: { reason: 'superseded' },
      status: 200,
    },
  );
}

/** The key that service-b has now, and how to put it back. */
export function keepKey({ keyFile }: Target): { restore: () => void } {
  const text = existsSync(keyFile) ? readFileSync(keyFile, 'utf8') : null;
  return {
    restore: () => {
      if (text === null) rmSync(keyFile, { force: true });
      else writePrivate(keyFile, text);
    },
  };
}

/** Puts back the key that service-b had before, and ends the one that it had for the demo. */
export async function giveBackKey(
  scene: Scene,
  { token, restoreKey, keyId }: { token: string; restoreKey: () => void; keyId: string },
): Promise<void> {
  scene.narrator.chapter('Afterwards: service-b gets back the key that it had');
  restoreKey();
  await revoke(scene, token, keyId);
  await scene.narrator.ask('service-b works as before', {
    url: `${scene.target.serviceB}/v1/summary`,
    ...bearer(token),
    status: 200,
  });
}

/** Whether service-b can do its work with the key that it has. */
export async function serviceBWorks({ serviceB }: Target, token: string): Promise<boolean> {
  return (await call(`${serviceB}/v1/summary`, bearer(token))).status === 200;
}

/** Waits until service-b uses a key. */
export async function untilPickedUp(target: Target, token: string, keyId: string): Promise<void> {
  const until = Date.now() + PICK_UP_MS;
  while (Date.now() < until) {
    const { body } = await call(`${target.serviceB}/v1/key-status`, bearer(token));
    if (keyInUse.safeParse(body).data?.keyId === keyId) return;
    await sleep(100);
  }
  throw new Error(`service-b did not pick up ${keyId} from ${target.keyFile} within 10 s`);
}

function storeKey(target: Target, secret: string): void {
  writePrivate(target.keyFile, `${secret}\n`);
}
