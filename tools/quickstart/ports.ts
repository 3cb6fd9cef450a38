import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below what Linux (32768) and others (49152) give to outgoing connections, and to those who ask for any port: what is free here
 * is taken by nobody before it is used, but by chance.
 */
const OWN_PORTS = [10_000, 32_768] as const;
const TRIES = 100;
/** Ports that are somebody's already, who may not listen yet, or is down for a while. */
const given = new Set<number>();

/** Whether something can listen on the port now. */
export function isFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else
        reject(new Error(`Cannot listen on ${host}:${port}: ${error.message}`, { cause: error }));
    });
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** A port that is free now, on the loopback address, and that this process has given to nobody before. */
export async function freePort(): Promise<number> {
  for (let i = 0; i < TRIES; i += 1) {
    const port = randomInt(...OWN_PORTS);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`${TRIES} ports from ${OWN_PORTS[0]} on 127.0.0.1 were taken`);
}

/** `wanted` if it is free and nobody's, not even an app's that has yet to start; else another. */
export async function portNear(wanted: number | undefined): Promise<number> {
  if (wanted === undefined || given.has(wanted)) return freePort();
  given.add(wanted);
  return (await isFree(wanted)) ? wanted : freePort();
}

/**
 * Makes sure that the apps will get their ports, which {@link freePort} gives to nobody else then.
 *
 * @param ports by the variable that sets each
 * @throws Error in one line that names all that are taken, and their variables
 */
export async function checkPorts(ports: Record<string, number>, host: string): Promise<void> {
  const seen = new Map<number, string>();
  const taken: [string, number][] = [];
  for (const [variable, port] of Object.entries(ports)) {
    const other = seen.get(port);
    if (other !== undefined) {
      throw new Error(`${other} and ${variable} are both ${port}; give each its own`);
    }
    seen.set(port, variable);
    given.add(port);
    if (!(await isFree(port, host))) taken.push([variable, port]);
  }
  if (taken.length > 0) throw new Error(takenText(taken, host));
}

function takenText(taken: readonly [string, number][], host: string): string {
  const ports = taken.map(([, port]) => port).join(', ');
  const variables = taken.map(([variable]) => variable).join(', ');
  return taken.length === 1
    ? `Port ${ports} on ${host} is taken; set ${variables} to a free one`
    : `Ports ${ports} on ${host} are taken; set ${variables} to free ones`;
}
