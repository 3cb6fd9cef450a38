import { setTimeout as wait } from 'node:timers/promises';
import { problem } from '#contracts';
import type { SecretProvider } from './secret-provider.js';

/** What a client calls and with which key. */
export interface KeyClientOptions {
  /** URL of the service that the key is for; the key goes to its origin only. */
  baseUrl: string;
  secret: SecretProvider;
  /** Bound of one call with its body, in milliseconds; 5,000 by default. A retry gets what is left of it. */
  timeoutMs?: number;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

/** `fetch` with the key added; `path` is relative to the base URL. */
export type KeyClient = (path: string, init?: RequestInit) => Promise<Response>;

/** There is no key to send, or what is there cannot be one. */
export class SecretUnavailable extends Error {
  override name = 'SecretUnavailable';
}

const SENDABLE = /^[\x21-\x7e]{1,1024}$/;
const MAX_JITTER_MS = 50;

/**
 * A client that follows a rotation by itself: when the service refuses the key (401 or 403 with an `API_KEY_` code) it
 * reads the secret anew and, only if that has changed, calls once more. So a call is at most two requests. Any other
 * answer, 429 and 503 with their Retry-After included, is the caller's to see. It follows no redirect.
 *
 * @throws SecretUnavailable (from a call) when there is no key
 * @throws TypeError (from a call) when the service cannot be reached or the path leads elsewhere, DOMException
 *   `TimeoutError` when the time is up
 */
export function createKeyClient(options: KeyClientOptions): KeyClient {
  const { secret, timeoutMs = 5_000, fetch: send = fetch } = options;
  const base = new URL(options.baseUrl.endsWith('/') ? options.baseUrl : `${options.baseUrl}/`);

  return async (path, init = {}) => {
    const url = urlOf(base, path);
    const limit = AbortSignal.timeout(timeoutMs);
    const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit;
    const call = (key: string) => {
      const headers = new Headers(init.headers);
      headers.set('x-api-key', key);
      return send(url, { ...init, headers, signal, redirect: 'error' });
    };
    const key = usable(await secret.read());
    const first = await call(key);
    if (!isRepeatable(init.body) || !(await isKeyRefused(first))) return first;
    const changed = usable(await secret.read({ fresh: true }));
    if (changed === key) return first;
    await first.body?.cancel();
    // A rotation meets all replicas of a consumer at once; they need not all come back in the same instant.
    await wait(Math.random() * MAX_JITTER_MS, undefined, { signal });
    return call(changed);
  };
}

function urlOf(base: URL, path: string): URL {
  const url = new URL(path.replace(/^\/+/, ''), base);
  if (url.origin !== base.origin) throw new TypeError('A path must stay with the service');
  return url;
}

function usable(key: string | null): string {
  if (key === null) throw new SecretUnavailable('There is no API key to send');
  if (!SENDABLE.test(key)) throw new SecretUnavailable('The API key holds what no key can');
  return key;
}

/** A stream can be sent once only. */
function isRepeatable(body: RequestInit['body']): boolean {
  return !(body instanceof ReadableStream) && !isAsyncIterable(body);
}

function isAsyncIterable(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}

async function isKeyRefused(response: Response): Promise<boolean> {
  if (response.status !== 401 && response.status !== 403) return false;
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => null);
  const parsed = problem.pick({ code: true }).safeParse(body);
  return parsed.success && parsed.data.code.startsWith('API_KEY_');
}
