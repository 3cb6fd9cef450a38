import { request as requestPlain, type Agent as PlainAgent, type RequestOptions } from 'node:http';
import { request as requestTls } from 'node:https';

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
  /** Keeps connections for the next call. */
  agent?: PlainAgent;
  /** PEM of authorities that are trusted instead of the usual ones. */
  ca?: string | undefined;
}

/** The connection failed before the whole answer was there. */
export class ConnectionBroken extends Error {
  override name = 'ConnectionBroken';
}

/** Whether nobody listens there: asking again costs nobody anything. */
export function isNobodyThere(error: unknown): boolean {
  const cause = error instanceof ConnectionBroken ? error.cause : null;
  return (cause as NodeJS.ErrnoException | null)?.code === 'ECONNREFUSED';
}

/** The answer was not there in time. */
export class TimeUp extends Error {
  override name = 'TimeUp';
}

const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/**
 * Starts a request. The certificate of an https server is always checked, whatever the environment says; a redirect is an
 * answer like any other and never followed, as it could carry a credential elsewhere.
 */
export function open(
  url: URL,
  { ca, ...options }: RequestOptions & { ca?: string | undefined },
): ReturnType<typeof requestPlain> {
  if (url.protocol !== 'https:') return requestPlain(url, options);
  return requestTls(url, { ...options, rejectUnauthorized: true, ...(ca !== undefined && { ca }) });
}

/** Makes one POST. @throws TimeUp when the time is up, ConnectionBroken when the connection fails */
export function exchange({ url, headers, body, timeoutMs, agent, ca }: Post): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = { 'content-length': String(Buffer.byteLength(body)) };
    const options = { method: 'POST', headers: { ...headers, ...length }, ca };
    const sent = open(url, agent === undefined ? options : { ...options, agent });
    const late = () => sent.destroy(new TimeUp(`${url.host} does not answer in time`));
    const timer = setTimeout(late, Math.max(1, timeoutMs));
    const fail = (cause: Error): void => {
      clearTimeout(timer);
      reject(cause instanceof TimeUp ? cause : new ConnectionBroken(cause.message, { cause }));
    };
    sent.on('error', fail);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) sent.destroy(new Error('The answer is too long'));
        else chunks.push(chunk);
      });
      response.on('error', fail);
      response.on('end', () => {
        clearTimeout(timer);
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, body: parseJson(text) });
      });
    });
    sent.end(body);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
