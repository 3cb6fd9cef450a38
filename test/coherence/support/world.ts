import type { IssuedKey, Key, Propagation, RotatedKey, Verdict, VerifyBody } from '#contracts';
import { PATIENCE_MS, RECOVERY_MS } from '../../support/patience.js';
import type { Cluster } from './cluster.js';
import { doorsOf, type AskThrough } from './doors.js';
import type { Answer } from './http.js';
import { stateOf } from './state.js';
import type { Stores } from './stores.js';

/** What mutations answer; only some answer all of it. */
export interface Changed {
  key?: Key;
  version?: number;
  secret?: string;
  propagation?: Propagation;
}

/** Short ways to do what the tests do most. */
export interface World {
  /** Issues a key of `service-b` for `service-a` with `reports:read` and `reports:write`. */
  issue: (over?: Record<string, unknown>, replica?: number) => Promise<IssuedKey>;
  /** The verdict of a replica. */
  verify: (replica: number, text: string, more?: Partial<VerifyBody>) => Promise<Answer<Verdict>>;
  /** The verdict of a replica, asked through one of the doors. */
  ask: AskThrough;
  /** Codes of all replicas, one after the other; a status where it is no verdict. */
  codes: (text: string, more?: Partial<VerifyBody>) => Promise<(string | number)[]>;
  /** Asks all replicas until each has answered from the cache, as they must again soon after Redis is back. */
  warm: (text: string, more?: Partial<VerifyBody>) => Promise<void>;
  revoke: (replica: number, id: string) => Promise<Answer<Changed>>;
  switch: (replica: number, id: string, to: 'disable' | 'enable') => Promise<Answer<Changed>>;
  rotate: (replica: number, id: string, overlapSeconds: number) => Promise<Answer<RotatedKey>>;
  patch: (replica: number, id: string, body: object) => Promise<Answer<Changed>>;
  /** Entries in Redis that could make a verification positive. */
  positives: (keyId: string) => Promise<string[]>;
}

/** Verdict code of an answer, or its status where it is no verdict. */
export function codeOf({ status, body }: Answer<Verdict>): string | number {
  return status === 200 ? body.code : status;
}

const scopes = ['reports:read', 'reports:write'];

/** What a key is issued with where a test does not say otherwise. */
export const keyBody = {
  name: 'a key',
  consumer: 'service-b',
  grants: [{ service: 'service-a', scopes }],
};

/** Adds the service and the consumer, and gives the short ways. */
export async function createWorld(cluster: Cluster<Stores>): Promise<World> {
  await made(cluster.manage(0, 'POST /v1/services', { body: { slug: 'service-a', scopes } }));
  await made(cluster.manage(0, 'POST /v1/consumers', { body: { slug: 'service-b' } }));
  const verify: World['verify'] = (replica, key, more = {}) =>
    cluster.ask(replica, 'POST /v1/keys/verify', { key, ...more });
  const all = cluster.replicas.map((_, replica) => replica);
  return {
    issue: async (over = {}, replica = 0) => {
      const body = { ...keyBody, ...over };
      return made(cluster.manage<IssuedKey>(replica, 'POST /v1/keys', { body }));
    },
    verify,
    ask: doorsOf(cluster),
    codes: async (text, more) => {
      const found = [];
      for (const replica of all) found.push(codeOf(await verify(replica, text, more)));
      return found;
    },
    warm: async (text, more) => {
      const state = () => stateOf(cluster, (replica) => verify(replica, text, more));
      for (const replica of all) {
        const isCached = async () => isFromCache(await verify(replica, text, more));
        const what = `replica ${replica} to answer from the cache`;
        await until(what, isCached, { patienceMs: RECOVERY_MS, state });
      }
    },
    revoke: (replica, id) =>
      cluster.manage(replica, `POST /v1/keys/${id}/revoke`, { body: { reason: 'compromised' } }),
    switch: (replica, id, to) => cluster.manage(replica, `POST /v1/keys/${id}/${to}`),
    rotate: (replica, id, overlapSeconds) =>
      cluster.manage(replica, `POST /v1/keys/${id}/rotate`, { body: { overlapSeconds } }),
    patch: (replica, id, body) =>
      cluster.manage(replica, `PATCH /v1/keys/${id}`, { body, headers: { 'if-match': '*' } }),
    positives: async (keyId) => {
      const entry = await cluster.redis.get(`kw:{${keyId}}:rec`);
      return entry === null || /^\d+:\d+:-:/.test(entry) ? [] : [entry];
    },
  };
}

/** How long to wait, and what to tell of the state of things when that was in vain. */
export interface Patience {
  patienceMs: number;
  state?: () => Promise<string>;
}

/** Waits until something is so; a minute at most, unless it is said that it must be so sooner, as what is promised in time must. */
export async function until(
  what: string,
  isSo: () => Promise<boolean> | boolean,
  patience: number | Patience = PATIENCE_MS,
): Promise<void> {
  const { patienceMs, state } =
    typeof patience === 'number' ? { patienceMs: patience, state: undefined } : patience;
  const endMs = performance.now() + patienceMs;
  while (!(await isSo())) {
    if (performance.now() > endMs)
      throw new Error(`Waited in vain: ${what}${state ? `\n${await state()}` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Resolves after some time. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function isFromCache({ status, body }: Answer<Verdict>): boolean {
  return status === 200 && body.decision.source === 'cache';
}

async function made<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { status, body } = await answer;
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`);
  return body;
}
