/** What came back: the status, and the body where it was JSON. */
export interface Answer {
  status: number;
  body: unknown;
}

/** A POST to be made. `timeoutMs` bounds all of it, from the look-up of the name to the last byte of the answer. */
export interface Post {
  url: URL;
  headers: Record<string, string>;
  body: string;
  timeoutMs: number;
}

/**
 * Makes one POST on a kept-alive connection and follows no redirect, which could carry a credential elsewhere.
 *
 * @throws DOMException `TimeoutError` when the time is up, TypeError when the connection fails
 */
export async function exchange({ url, headers, body, timeoutMs }: Post): Promise<Answer> {
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
  const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' });
  return { status: response.status, body: parseJson(await response.text()) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
