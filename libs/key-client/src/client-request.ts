/** A call of a client, as `fetch` takes it: what is asked for, and whether it may be sent again. */
export interface ClientRequest {
  url: URL;
  method: string;
  init: RequestInit;
  /** Ends the wait for it; of its caller. */
  signal: AbortSignal | null;
  /** Whether the body, if any, can be sent a second time: a stream cannot. */
  isRepeatable: boolean;
  /** Whether it may be sent again although it may have been done: by its method (RFC 9110), or its `Idempotency-Key`. */
  isIdempotent: boolean;
}

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** Base of a client: what a path is added to. */
export function baseOf(url: string | URL): URL {
  const base = new URL(url);
  if (base.protocol !== 'https:' && base.protocol !== 'http:')
    throw new TypeError('A base URL begins with https:// or http://');
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return base;
}

/** @throws TypeError where the address is not of the origin of `base` */
export function clientRequestOf(
  base: URL,
  input: string | URL | Request,
  init: RequestInit = {},
): ClientRequest {
  const given = input instanceof Request ? { ...initOf(input), ...init } : init;
  const method = (given.method ?? 'GET').toUpperCase();
  const { signal = null, ...rest } = given;
  return {
    url: urlOf(base, input),
    method,
    init: { ...rest, method },
    signal: signal ?? null,
    isRepeatable: !(given.body instanceof ReadableStream) && !isAsyncIterable(given.body),
    isIdempotent: IDEMPOTENT.has(method) || new Headers(given.headers).has('idempotency-key'),
  };
}

function initOf({ method, headers, body, signal, redirect }: Request): RequestInit {
  return { method, headers, signal, redirect, ...(body && { body, duplex: 'half' as const }) };
}

function urlOf(base: URL, input: string | URL | Request): URL {
  const text = input instanceof Request ? input.url : input.toString();
  const url = new URL(text.replace(/^\/+/, ''), base);
  if (url.origin !== base.origin) throw new TypeError('A path must stay with the service');
  return url;
}

function isAsyncIterable(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}
