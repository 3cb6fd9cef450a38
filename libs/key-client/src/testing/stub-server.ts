import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a stub answers. */
export interface StubAnswer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

/** A real HTTP server of a test that notes which keys came. */
export interface StubServer {
  url: string;
  keys: unknown[];
  close: () => Promise<void>;
}

/** Starts a stub; no answer means that it hangs. */
export async function createStubServer(
  answerTo: (key: unknown, request: IncomingMessage) => StubAnswer | undefined,
): Promise<StubServer> {
  const keys: unknown[] = [];
  const server = createServer((request, response) => {
    const key = request.headers['x-api-key'];
    keys.push(key);
    const answer = answerTo(key, request);
    if (answer === undefined) return;
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
    response.end(JSON.stringify(answer.body ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    keys,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
