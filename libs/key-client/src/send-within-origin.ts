import type { ClientRequest } from './client-request.js';

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a request with a key. As with `fetch` the caller may ask for redirects to be errors or to be seen; else they are
 * followed, five at most, where the method is GET or HEAD and they stay with the service.
 *
 * @throws TypeError where the service cannot be reached, or for a redirect that is not followed
 */
export async function sendWithinOrigin(
  send: typeof fetch,
  { url, method, init }: ClientRequest,
  { key, signal }: { key: string; signal: AbortSignal },
): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('x-api-key', key);
  const asked = { ...init, headers, signal, redirect: 'manual' as const };
  let place = url;
  for (let hops = 0; ; hops += 1) {
    const response = await send(place, asked);
    const next = init.redirect === 'manual' ? null : redirectOf(response, place);
    if (next === null) return response;
    await response.body?.cancel();
    refuseRedirect({ next, url, method, hops, isError: init.redirect === 'error' });
    place = next;
  }
}

function redirectOf(response: Response, place: URL): URL | null {
  const location = response.headers.get('location');
  return location !== null && REDIRECTS.has(response.status) ? new URL(location, place) : null;
}

function refuseRedirect(redirect: {
  next: URL;
  url: URL;
  method: string;
  hops: number;
  isError: boolean;
}): void {
  const { next, url, method, hops, isError } = redirect;
  if (isError) throw new TypeError('The service answered with a redirect');
  if (next.origin !== url.origin)
    throw new TypeError('The service redirects to another origin, where the key does not go');
  if (method !== 'GET' && method !== 'HEAD')
    throw new TypeError(`The service redirects a ${method}, which is not sent a second time`);
  if (hops >= MAX_REDIRECTS) throw new TypeError('The service redirects again and again');
}
