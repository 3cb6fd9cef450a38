import { Agent, request } from 'node:http';
import { Stalls } from './stalls.js';

/** An answer, with when the request was sent and when the whole answer was there, by one clock for all of a test. */
export interface Answer<T = unknown> {
  status: number;
  /** The parsed JSON; null where there was no answer at all. */
  body: T;
  headers: Record<string, string | string[] | undefined>;
  startedMs: number;
  endedMs: number;
  /** How long that took, but for the time in which nothing ran on this machine. */
  tookMs: number;
}

/** What to ask. */
export interface Call {
  method: string;
  url: string;
  /** None where the headers say who asks. */
  token?: string;
  body?: unknown;
  /** Sent as a form, in place of a body. */
  form?: Record<string, string>;
  headers?: Record<string, string>;
}

const agent = new Agent({ keepAlive: true, maxSockets: 512 });
const stalls = new Stalls();

/** Sends a request. A connection that breaks, or 10 s of silence, is an answer with status 0. */
export function call<T>({
  method,
  url,
  token,
  headers = {},
  ...sending
}: Call): Promise<Answer<T>> {
  const content = contentOf(sending);
  stalls.start();
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const ended = (status: number, body: unknown, headers: Answer['headers'] = {}) => {
      const endedMs = performance.now();
      const tookMs = endedMs - startedMs - stalls.within(startedMs, endedMs);
      resolve({ status, body: body as T, headers, startedMs, endedMs, tookMs });
    };
    const sent = request(
      url,
      {
        method,
        agent,
        timeout: 10_000,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(content !== null && {
            'content-type': content.type,
            'content-length': Buffer.byteLength(content.text),
          }),
          ...headers,
        },
      },
      (answer) => {
        let got = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (got += piece));
        answer.on('end', () => ended(answer.statusCode ?? 0, parsed(got), answer.headers));
        answer.on('error', () => ended(0, null));
      },
    );
    sent.on('timeout', () => sent.destroy());
    sent.on('error', () => ended(0, null));
    sent.end(content?.text);
  });
}

/** Closes the connections that are kept for the next request. */
export function closeConnections(): void {
  stalls.stop();
  agent.destroy();
}

function contentOf({ body, form }: Pick<Call, 'body' | 'form'>) {
  if (form !== undefined) {
    const text = new URLSearchParams(form).toString();
    return { type: 'application/x-www-form-urlencoded', text };
  }
  return body === undefined ? null : { type: 'application/json', text: JSON.stringify(body) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
