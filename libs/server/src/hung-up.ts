import type { IncomingMessage } from 'node:http';

/** What the log says of such a request, as proxies do: no answer can be sent. */
export const HUNG_UP_STATUS = 499;

/** Whether the caller closed the connection before it had sent all of its request, which no part of the platform is to blame for. */
export function isHungUp(request: IncomingMessage): boolean {
  return request.destroyed && !request.complete;
}
