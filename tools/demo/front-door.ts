import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One address before processes that take turns. */
export interface FrontDoor {
  url: string;
  /** Sends requests from now on to another process; those under way end where they began. */
  leadTo: (url: string) => void;
  close: () => Promise<void>;
}

/** Opens a front door, as a load balancer would stand before a service. */
export async function openFrontDoor(): Promise<FrontDoor> {
  let target = '';
  const server = createServer((from, to) => pass(target, from, to));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    leadTo: (url) => {
      target = url;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function pass(target: string, from: IncomingMessage, to: ServerResponse): void {
  const { host: _, connection: __, ...headers } = from.headers;
  const options = { method: from.method, headers, agent: false };
  const sent = request(`${target}${from.url}`, options, (answer) => {
    to.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(to);
  });
  sent.on('error', () => to.writeHead(502).end());
  from.pipe(sent);
}
