import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as a stub saw it; `body` is parsed where it is JSON. */
export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: unknown;
}

/** Answers a request, or leaves it hanging. */
export type Respond = (seen: Seen, response: ServerResponse) => void;

/** A real HTTP server that stands in for a service in a test. */
export interface StubServer {
  url: string;
  /** Requests so far, oldest first. */
  seen: Seen[];
  /** Answers from now on like this; routes are `METHOD /path` without the query, anything else is 404. */
  routes: (routes: Record<string, Respond>) => void;
  close: () => Promise<void>;
}

/** Starts a stub on a free port. */
export async function createStubServer(first: Record<string, Respond> = {}): Promise<StubServer> {
  const seen: Seen[] = [];
  let routes = first;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const one = seenOf(request, Buffer.concat(chunks).toString());
      seen.push(one);
      const respond = routes[`${one.method} ${one.path.split('?')[0]}`];
      if (respond) respond(one, response);
      else sendProblem(response, 404, 'NOT_FOUND');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    routes: (next) => (routes = next),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** Answers with a problem as every service of the platform does. */
export function sendProblem(
  response: ServerResponse,
  status: number,
  code: string,
  more: { detail?: string; errors?: unknown[]; headers?: Record<string, string> } = {},
): void {
  const { headers, ...members } = more;
  const fixed = { type: `urn:keyward:problem:${code}`, title: code, status, code };
  const body = { ...fixed, detail: code, instance: '/', requestId: 'theirs', ...members };
  sendJson(response, status, body, { 'content-type': 'application/problem+json', ...headers });
}

function seenOf(request: IncomingMessage, text: string): Seen {
  const { method = '', url: path = '', headers } = request;
  const isJson = headers['content-type'] === 'application/json';
  return { method, path, headers, body: isJson ? (JSON.parse(text) as unknown) : text };
}
