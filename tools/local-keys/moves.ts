import { exportKeys, importPage, type ImportPage, type KeyImport, type Policy } from '#contracts';
import { newRecipient, readExport } from '#key-core';
import type { Pool } from 'pg';
import { handOver, type HandedOver } from '../../apps/service-a/src/local-keys/hand-over.js';
import type { PostAsAdmin } from '../../apps/service-a/src/local-keys/import-under.js';
import { createLocalPool } from '../../apps/service-a/src/local-keys/local-database.js';
import { LocalPeppers } from '../../apps/service-a/src/local-keys/local-peppers.js';
import { takeOver, type TakenOver } from '../../apps/service-a/src/local-keys/take-over.js';
import { call } from '../quickstart/http.js';
import { bearer } from '../quickstart/provision.js';

/** Where service-a keeps its own keys. */
export interface OwnStore {
  databaseUrl: string;
  secret: Buffer;
}

/** The key service, and the access token of an admin. */
export interface Central {
  url: string;
  token: string;
}

/** Hands service-a's own keys over to the key service, and tells it what has changed of those that it has. */
export async function handOverTo(central: Central, store: OwnStore): Promise<HandedOver> {
  const { url, token } = central;
  const post: PostAsAdmin = (path, body) => call(`${url}${path}`, { ...bearer(token), body });
  const hasCutOver = (await importsAt(central)).some((one) => one.mode === 'cutover');
  return withStore(store, (parts) => handOver({ ...parts, post }, hasCutOver));
}

/** All imports of service-a that there are. @throws Error where the key service does not say */
export async function importsAt({ url, token }: Central): Promise<KeyImport[]> {
  const all: KeyImport[] = [];
  for (let query: string | null = '?service=service-a&limit=200'; query !== null;) {
    const { status, body } = await call(`${url}/v1/imports${query}`, bearer(token));
    if (status !== 200) throw new Error(`Asking for imports was answered ${status}`);
    const { data, nextCursor }: ImportPage = importPage.parse(body);
    all.push(...data);
    query = nextCursor === null ? null : `?service=service-a&limit=200&cursor=${nextCursor}`;
  }
  return all;
}

/** What was taken over, and the policy that ruled the keys at the key service. */
export interface TakenOverFrom extends TakenOver {
  policy: Policy;
}

/** Takes service-a's keys over from the key service into its own store, as {@link takeOver} does. */
export async function takeOverFrom(
  { url, token }: Central,
  store: OwnStore,
  mayLoseQuotas = false,
): Promise<TakenOverFrom> {
  const { publicKey: recipientKey, privateKey } = newRecipient();
  const signers = exportKeys.parse((await call(`${url}/v1/exports/keys`)).body);
  const answer = await fetch(`${url}/v1/exports`, {
    method: 'POST',
    headers: { ...bearer(token).headers, 'content-type': 'application/json' },
    body: JSON.stringify({ service: 'service-a', recipientKey }),
  });
  if (!answer.ok)
    throw new Error(`The export was answered ${answer.status}: ${await answer.text()}`);
  const read = readExport(await answer.text(), { signers, privateKey });
  const taken = await withStore(store, (parts) => takeOver(parts, read, mayLoseQuotas));
  return { ...taken, policy: read.header.policy };
}

async function withStore<T>(
  { databaseUrl, secret }: OwnStore,
  work: (parts: { pool: Pool; peppers: LocalPeppers }) => Promise<T>,
): Promise<T> {
  const pool = createLocalPool(databaseUrl);
  try {
    const peppers = new LocalPeppers(pool, secret);
    await peppers.confirm();
    return await work({ pool, peppers });
  } finally {
    await pool.end();
  }
}
