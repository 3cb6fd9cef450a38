import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openFrontDoor } from './front-door.js';

async function listening(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it('leads new requests elsewhere at once, and says when those under way have ended where they began', async () => {
  const begun: ServerResponse[] = [];
  const old = createServer((_, response) => void begun.push(response));
  const next = createServer((_, response) => response.end('next'));
  const door = await openFrontDoor();
  try {
    await door.leadTo(await listening(old));
    const first = fetch(door.url);
    await once(old, 'request');
    let isEmpty = false;
    const emptied = door.leadTo(await listening(next)).then(() => (isEmpty = true));
    expect(await (await fetch(door.url)).text()).toBe('next');
    expect(isEmpty).toBe(false);
    begun[0]!.end('old');
    expect(await (await first).text()).toBe('old');
    await emptied;
  } finally {
    await door.close();
    for (const server of [old, next]) server.close();
  }
});
