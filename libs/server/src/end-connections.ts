import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** How long what is under way may take when the server closes. */
const FINISH_WITHIN_MS = 5_000;

/**
 * Lets no connection keep a server from closing. Node waits, without bound, for one on which no request ever came, as clients open
 * in advance, and for one that has sent half of one: the first are ended at once, and whatever is left after five seconds.
 */
export function endConnections(fastify: FastifyInstance): void {
  const { server } = fastify;
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  fastify.addHook('preClose', (done) => {
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
    setTimeout(() => server.closeAllConnections(), FINISH_WITHIN_MS).unref();
    done();
  });
}
