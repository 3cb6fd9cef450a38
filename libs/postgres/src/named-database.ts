import { credentialsOf, serversIn } from './server-list.js';

/** Which database a setting names, without what opens it. @throws Error as {@link serversIn} */
export function namedDatabase(
  variable: string,
  url: string,
): { variable: string; servers: string[] } {
  return { variable, servers: serversIn(url).map(({ host, port }) => `${host}:${port}`) };
}

/** Whether {@link serversIn} and the driver can read it. */
export function isConnectionString(url: string): boolean {
  try {
    return serversIn(url).length > 0 && credentialsOf(url).name !== null;
  } catch {
    return false;
  }
}

/** What is said of a setting that is none. */
export const NO_CONNECTION_STRING =
  'must be postgresql://user:password@host:port/database, with what is special percent-encoded';
