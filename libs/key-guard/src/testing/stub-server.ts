import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as a stub saw it. */
export interface Seen {
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
}

/** A real HTTP server of a test whose answers can be changed. */
export interface StubServer {
  url: string;
  port: number;
  seen: Seen[];
  /** Answers from now on like this. */
  answer: (respond: (seen: Seen, response: ServerResponse) => void) => void;
  /** Breaks off whatever is connected; new connections are taken. */
  closeConnections: () => void;
  close: () => Promise<void>;
}

/** A stub that answers 404 until it is told otherwise. */
export async function createStubServer(port = 0): Promise<StubServer> {
  const seen: Seen[] = [];
  let respond: (seen: Seen, response: ServerResponse) => void = (_seen, response) =>
    json(response, 404, {});
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const one = { path: request.url ?? '', headers: request.headers, body };
      seen.push(one);
      respond(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    seen,
    answer: (next) => (respond = next),
    closeConnections: () => server.closeAllConnections(),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers with JSON. */
export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
