import { Client } from 'pg';
import { serversIn, type Server } from './server-list.js';
import { READ_ONLY, WriteWatch } from './write-watch.js';

const PROBE_MS = 1_500;

/** A connection that ends when its server is found to be the primary no more. */
export interface Dependent {
  server: Server;
  drop: () => void;
}

/**
 * Knows which of a database's servers takes writes, and the connections to it. All connections of a process to one database
 * share it: what one finds out ends those of all others to a server that is the primary no more, so that none of them goes
 * on reading what it holds.
 */
export class Primary {
  readonly servers: readonly [Server, ...Server[]];
  private present: Server | null = null;
  private search: Promise<Server> | null = null;
  private readonly dependents = new Set<Dependent>();

  /** @throws Error where the connection string is malformed */
  constructor(url: string) {
    this.servers = serversIn(url);
  }

  /**
   * The server that takes writes, as far as is known; where nothing is, all are asked at a time.
   *
   * @throws AggregateError with what each of them answered, where none takes writes
   */
  async find(): Promise<Server> {
    if (this.servers.length === 1) return this.servers[0];
    if (this.present !== null) return this.present;
    this.search ??= this.ask().finally(() => (this.search = null));
    return this.search;
  }

  /** Looks anew the next time. For whom it could not be reached. */
  doubt(server: Server): void {
    if (this.present === server) this.present = null;
  }

  /** As {@link Primary.doubt}, and ends all connections to it. For whom it told that it takes no writes. */
  leave(server: Server): void {
    this.doubt(server);
    this.dropWhere((one) => one === server);
  }

  /** From now on `dependent` is dropped when its server is left. @returns a function that takes it off the list */
  join(dependent: Dependent): () => void {
    this.dependents.add(dependent);
    return () => this.dependents.delete(dependent);
  }

  private async ask(): Promise<Server> {
    const found = await Promise.any(this.servers.map(probe)).catch((error: AggregateError) => {
      const names = this.servers.map(({ host, port }) => `${host}:${port}`).join(', ');
      throw new AggregateError(error.errors, `No server of ${names} takes writes`);
    });
    this.present = found;
    // those that still wait on the one before would wait in vain
    this.dropWhere((one) => one !== found);
    return found;
  }

  private dropWhere(isPast: (server: Server) => boolean): void {
    for (const dependent of this.dependents) if (isPast(dependent.server)) dependent.drop();
  }
}

/** What is thrown about a server that takes no writes; an outage, as PostgreSQL itself says it. */
export function takesNoWrites({ host, port }: Server): Error {
  return Object.assign(new Error(`${host}:${port} takes no writes`), { code: READ_ONLY });
}

/** Whether an error says that: whoever asks again is led to the server that does. */
export function saysNoWrites(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === READ_ONLY;
}

async function probe(server: Server): Promise<Server> {
  const client = new Client({
    connectionString: server.url,
    application_name: 'keyward looks for the primary',
    connectionTimeoutMillis: PROBE_MS,
    query_timeout: PROBE_MS,
  });
  client.on('error', () => undefined);
  const watch = new WriteWatch(client);
  try {
    await client.connect();
    if (await watch.takesWrites()) return server;
  } finally {
    void client.end().catch(() => undefined);
  }
  throw takesNoWrites(server);
}
