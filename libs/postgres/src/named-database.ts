import { z } from 'zod';
import { credentialsOf, serversIn } from './server-list.js';

/** Which database a setting names, without what opens it. @throws Error as {@link serversIn} */
export function namedDatabase(
  variable: string,
  url: string,
): { variable: string; servers: string[] } {
  return { variable, servers: serversIn(url).map(({ host, port }) => `${host}:${port}`) };
}

/** Schema of a setting that names a database: what {@link serversIn} and the driver can read. */
export const databaseUrl = z
  .string()
  .refine(
    isConnectionString,
    'must be postgresql://user:password@host:port/database, with what is special percent-encoded',
  );

function isConnectionString(url: string): boolean {
  try {
    return serversIn(url).length > 0 && credentialsOf(url).name !== null;
  } catch {
    return false;
  }
}
