import { setTimeout as wait } from 'node:timers/promises';
import { abortable } from './abortable.js';
import { baseOf, clientRequestOf, type ClientRequest } from './client-request.js';
import { problemCodeOf } from './problem-code.js';
import { createRenewal, type Renewal } from './renewal.js';
import { retryWaitMs, type RetryOptions } from './retry-wait.js';
import type { SecretProvider } from './secret-provider.js';
import { sendWithinOrigin } from './send-within-origin.js';

/** What a client calls and with which key. */
export interface KeyClientOptions {
  /** URL of the service that the key is for; the key goes to its origin only. */
  baseUrl: string | URL;
  secret: SecretProvider;
  /** Bound of one request with its body, in milliseconds; 5,000 by default. */
  timeoutMs?: number;
  /** How 429 and 503 are asked again. */
  retry?: RetryOptions;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

/** `fetch` with the key added; `input` is relative to the base URL. */
export type KeyClient = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** There is no key to send, or what is there cannot be one. */
export class SecretUnavailable extends Error {
  override name = 'SecretUnavailable';
}

const SENDABLE = /^[\x21-\x7e]{1,1024}$/;
const MAX_JITTER_MS = 50;

/** A call with what it still may use. */
interface Call {
  request: ClientRequest;
  /** When the budget ends, on the clock of `performance.now()`. */
  endMs: number;
  /** How many retries after 429 and 503 there may be, and were. */
  retries: number;
  retried: number;
  hasRenewed: boolean;
}

/** One request of a call. */
interface Attempt {
  key: string;
  signal: AbortSignal;
  response: Response;
}

/**
 * A client that follows a rotation by itself. An answer that says that its key is going to end makes it read the secret anew
 * in the background. When the service refuses the key (401 or 403 with an `API_KEY_` code) it reads the secret anew and,
 * only if that has changed, calls once more. After 429 and 503 it waits, never less than `Retry-After` says, and calls again
 * as far as its budget goes; after a 503 that does not say that the key could not be verified only where what is asked for
 * is idempotent. A body that is a stream is sent once, and a refused key is read anew for the next call. Any other answer is the caller's to see.
 *
 * @throws SecretUnavailable (from a call) when there is no key, SecretStoreError when its place cannot be read
 * @throws TypeError (from a call) when the service cannot be reached or the way leads to another origin, DOMException
 *   `TimeoutError` when the time is up, the signal's reason when the caller has given up
 */
export function createKeyClient(options: KeyClientOptions): KeyClient {
  const { secret, timeoutMs = 5_000, fetch: send = fetch, retry = {} } = options;
  const { retries = 2, budgetMs = 30_000 } = retry;
  const base = baseOf(options.baseUrl);
  const source = { secret, renewal: createRenewal(secret) };
  const { renewal } = source;

  return async (input, init) => {
    const request = clientRequestOf(base, input, init);
    const endMs = performance.now() + budgetMs;
    const call: Call = { request, endMs, retries, retried: 0, hasRenewed: false };
    for (;;) {
      const signal = signalOf(call, timeoutMs);
      const key = await currentKey(source, signal);
      const response = await sendWithinOrigin(send, request, { key, signal });
      renewal.heed(response.headers, key);
      if (!(await waitForAnother(call, { key, signal, response }, renewal))) return response;
    }
  };
}

/** Ends with the caller's patience, the bound of a request or the budget, whichever is first. */
function signalOf({ request, endMs }: Call, timeoutMs: number): AbortSignal {
  const leftMs = Math.max(0, Math.ceil(endMs - performance.now()));
  const limit = AbortSignal.timeout(Math.min(timeoutMs, leftMs));
  return request.signal === null ? limit : AbortSignal.any([request.signal, limit]);
}

interface Source {
  secret: SecretProvider;
  renewal: Renewal;
}

async function currentKey({ secret, renewal }: Source, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const key = await abortable(renewal.current(), signal);
  if (key === null) throw new SecretUnavailable(`There is no API key to send${whyNone(secret)}`);
  if (SENDABLE.test(key)) return key;
  const place = secret.place === undefined ? '' : ` in ${secret.place}`;
  throw new SecretUnavailable(`The API key${place} holds what no key can`);
}

function whyNone({ place, lack }: SecretProvider): string {
  return place === undefined ? '' : `: ${place} ${lack?.() ?? 'holds none'}`;
}

/** Resolves with true when it is time for another request, with false where this answer is the caller's to see. */
async function waitForAnother(call: Call, attempt: Attempt, renewal: Renewal): Promise<boolean> {
  const { response } = attempt;
  if (!call.hasRenewed && (await isKeyRefused(response))) {
    call.hasRenewed = true;
    const isRenewed = await hasChanged(attempt, renewal);
    if (!isRenewed || !call.request.isRepeatable) return false;
    // A rotation meets all replicas of a consumer at once; they need not all come back in the same instant.
    return giveUp(call, response, Math.random() * MAX_JITTER_MS);
  }
  if (!call.request.isRepeatable) return false;
  if (call.retried >= call.retries || !(await mayBeRetried(call.request, response))) return false;
  const asked = { retry: call.retried + 1, nowMs: Date.now(), random: Math.random() };
  const waitMs = retryWaitMs(response.headers, asked);
  if (performance.now() + waitMs >= call.endMs) return false;
  call.retried += 1;
  return giveUp(call, response, waitMs);
}

/** Whether there is another key to send. One that cannot be read has not changed: the refusal says more than the fault. */
async function hasChanged({ key, signal }: Attempt, renewal: Renewal): Promise<boolean> {
  const reading = renewal.after(key).catch(() => null);
  const found = await abortable(reading, signal);
  return found !== null && found !== key && SENDABLE.test(found);
}

async function giveUp({ request }: Call, response: Response, waitMs: number): Promise<true> {
  await response.body?.cancel();
  const signal = request.signal ?? undefined;
  await wait(waitMs, undefined, { signal }).catch(() => signal?.throwIfAborted());
  return true;
}

async function isKeyRefused(response: Response): Promise<boolean> {
  if (response.status !== 401 && response.status !== 403) return false;
  return (await problemCodeOf(response))?.startsWith('API_KEY_') === true;
}

/** A limit, and a key that nobody can verify, are met before anything is done. */
async function mayBeRetried(request: ClientRequest, response: Response): Promise<boolean> {
  if (response.status === 429) return true;
  if (response.status !== 503) return false;
  return request.isIdempotent || (await problemCodeOf(response)) === 'VERIFICATION_UNAVAILABLE';
}
