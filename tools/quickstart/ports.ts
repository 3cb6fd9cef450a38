import { createServer, type AddressInfo } from 'node:net';

/** Whether something can listen on the port now. */
export async function isFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return (await tryListen(port, host)) !== null;
}

/** A port that is free now, on the loopback address. */
export async function freePort(): Promise<number> {
  const port = await tryListen(0, '127.0.0.1');
  if (port === null) throw new Error('No port is free on 127.0.0.1');
  return port;
}

/** `wanted` if it is free, else another. */
export async function portNear(wanted: number | undefined): Promise<number> {
  return wanted !== undefined && (await isFree(wanted)) ? wanted : freePort();
}

/**
 * Makes sure that the apps will get their ports.
 *
 * @param ports by the variable that sets each
 * @throws Error in one line that names port and variable
 */
export async function checkPorts(ports: Record<string, number>, host: string): Promise<void> {
  const seen = new Map<number, string>();
  for (const [variable, port] of Object.entries(ports)) {
    const other = seen.get(port);
    if (other !== undefined) {
      throw new Error(`${other} and ${variable} are both ${port}; give each its own`);
    }
    seen.set(port, variable);
    if (!(await isFree(port, host))) {
      throw new Error(`Port ${port} on ${host} is taken; set ${variable} to a free one`);
    }
  }
}

function tryListen(port: number, host: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else
        reject(new Error(`Cannot listen on ${host}:${port}: ${error.message}`, { cause: error }));
    });
    server.listen({ port, host, exclusive: true }, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
