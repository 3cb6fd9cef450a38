/** An answer of the platform, its body parsed where it is JSON. */
export interface Answer {
  status: number;
  headers: Headers;
  body: unknown;
}

/** A request to the platform. */
export interface Call {
  method?: string;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
}

const TIMEOUT_MS = 15_000;

/**
 * Calls the platform.
 *
 * @throws Error naming the address when there is no answer within 15 s
 */
export async function call(url: string, options: Call = {}): Promise<Answer> {
  const { body, headers, method = body === undefined ? 'GET' : 'POST' } = options;
  try {
    const response = await fetch(url, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parsed(text) };
  } catch (error) {
    const cause = (error as Error).cause;
    const why = cause instanceof Error ? cause.message : (error as Error).message;
    throw new Error(`${method} ${url}: no answer (${why})`, { cause: error });
  }
}

function parsed(text: string): unknown {
  try {
    return text === '' ? null : (JSON.parse(text) as unknown);
  } catch {
    return text;
  }
}
