import { Client, type ClientConfig } from 'pg';
import { endWhenLate } from './end-when-late.js';
import { Primary, takesNoWrites } from './primary.js';
import type { Server } from './server-list.js';
import { WriteWatch } from './write-watch.js';

/** How to connect to a database whose connection string may name several servers. */
export interface Writable {
  /** Of one server; whatever it says, {@link Writable.Client} connects to the one that takes writes. */
  connectionString: string;
  /** To be used in place of pg's own, by a pool or alone. */
  Client: new (config?: ClientConfig) => Client;
}

type Done = ((error: Error) => void) & ((error: null, client: Client) => void);

const known = new Map<string, Writable>();

/**
 * Connections to the server that takes writes, and to no other: it is found when a connection is made, and again after a
 * failover. A connection whose server turns out to take no writes ends, before an answer of it is handed on.
 *
 * @throws Error where the connection string is malformed
 */
export function writable(url: string): Writable {
  const before = known.get(url);
  if (before !== undefined) return before;
  const primary = new Primary(url);
  const made = { connectionString: primary.servers[0].url, Client: clientOf(primary) };
  known.set(url, made);
  return made;
}

function clientOf(primary: Primary): Writable['Client'] {
  return class extends WritableClient {
    constructor(config?: ClientConfig) {
      super(primary, config);
    }
  };
}

class WritableClient extends Client {
  private readonly watch = new WriteWatch(this);

  constructor(
    private readonly primary: Primary,
    config?: ClientConfig,
  ) {
    super(config);
    // whoever runs a statement is told by it; while nobody does, a connection that breaks must not end the process
    this.on('error', () => undefined);
    endWhenLate(this);
  }

  override connect(): Promise<Client>;
  override connect(done: Done): void;
  override connect(done?: Done): Promise<Client> | void {
    if (done === undefined) return this.connectToPrimary();
    void this.connectAndTell(done);
  }

  private async connectAndTell(done: Done): Promise<void> {
    const failure = await this.connectToPrimary().then(
      () => null,
      (error: Error) => error,
    );
    if (failure === null) done(null, this);
    else done(failure);
  }

  private async connectToPrimary(): Promise<Client> {
    const { primary, watch } = this;
    const server = await this.unlessClosed(primary.find());
    if (primary.servers.length > 1) Object.assign(this, { host: server.host, port: server.port });
    await this.connectTo(server);
    if (!(await watch.takesWrites())) {
      primary.leave(server);
      void this.end().catch(() => undefined);
      throw takesNoWrites(server);
    }
    watch.onReadOnly = () => primary.leave(server);
    this.once('end', primary.join({ server, drop: () => this.drop(server) }));
    return this;
  }

  /** What was answered and is not handed on yet is thrown away: it may be what the server knew before a failover. */
  private drop(server: Server): void {
    this.connection.emit('error', takesNoWrites(server));
    this.connection.stream.destroy();
  }

  private async connectTo(server: Server): Promise<void> {
    try {
      await super.connect();
    } catch (error) {
      this.primary.doubt(server);
      throw error;
    }
  }

  /** A pool gives a connection up by destroying its stream, which nobody would notice while it is not connected. */
  private async unlessClosed<T>(found: Promise<T>): Promise<T> {
    const { stream } = this.connection;
    let giveUp: () => void = () => undefined;
    const closed = new Promise<never>((_, reject) => {
      giveUp = () => reject(new Error('Connection terminated while looking for the primary'));
      stream.once('close', giveUp);
    });
    try {
      return await Promise.race([found, closed]);
    } finally {
      stream.off('close', giveUp);
    }
  }
}
