import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One address before processes that take turns. */
export interface FrontDoor {
  url: string;
  /** Sends requests from now on to another process; resolves when those under way have ended where they began. */
  leadTo: (url: string) => Promise<void>;
  close: () => Promise<void>;
}

/** Opens a front door, as a load balancer would stand before a service. */
export async function openFrontDoor(): Promise<FrontDoor> {
  let target = '';
  let underWay = new Set<Promise<void>>();
  const server = createServer((from, to) => {
    const begun = underWay;
    const one = pass(target, from, to).finally(() => begun.delete(one));
    begun.add(one);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    leadTo: async (url) => {
      const before = underWay;
      [target, underWay] = [url, new Set()];
      await Promise.all(before);
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Resolves when the answer, whatever it is, has ended. */
function pass(target: string, from: IncomingMessage, to: ServerResponse): Promise<void> {
  const { host: _, connection: __, ...headers } = from.headers;
  const options = { method: from.method, headers, agent: false };
  const sent = request(`${target}${from.url}`, options, (answer) => {
    to.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(to);
  });
  sent.on('error', () => to.writeHead(502).end());
  from.pipe(sent);
  return new Promise((ended) => {
    to.once('close', () => ended());
  });
}
