import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** An address at which connections are neither made nor refused, as behind a firewall that drops what it does not know. */
export interface HangingServer {
  url: string;
  close: () => Promise<void>;
}

const LISTEN = `const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () =>
  console.log(server.address().port));`;
/** A connection on this machine that takes so long is never made. */
const HANGS_AFTER_MS = 500;

/** A process that listens, takes nothing as it is stopped, and whose queue of connections is full. */
export async function createHangingServer(): Promise<HangingServer> {
  const child = spawn(process.execPath, ['-e', LISTEN], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  child.kill('SIGSTOP');
  const sockets: Socket[] = [];
  do sockets.push(connect({ port, host: '127.0.0.1' }).on('error', () => undefined));
  while (await isMade(sockets.at(-1)!));
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      for (const one of sockets) one.destroy();
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function isMade(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), HANGS_AFTER_MS);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
