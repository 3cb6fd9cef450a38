import type { Clock } from './clock.js';

/** What stands in the cache for the one key that there is: its state, or a marker, which says "ask the store". */
export interface Entry {
  version: number;
  epoch: number;
  isMarker: boolean;
}

/** What a server of Redis holds. */
interface Held {
  entry: Entry | null;
  /** The right to fill. */
  token: string | null;
}

/** What a replica reaches. */
export interface Links {
  database: boolean;
  reads: boolean;
  writes: boolean;
}

/** The newest epoch that a replica said it had read, and when it said anything. */
interface Report {
  epoch: number;
  seenMs: number;
}

/** PostgreSQL, Redis, and the links of the replicas to them. Messages take their time, and get lost where a link is cut. */
export class Stores {
  /** Of the one key. */
  version = 1;
  epoch = 1;
  /** Runs of Redis that belong to the epoch. */
  listed: string[] = ['run 0'];
  readonly reports: Report[];
  readonly links: Links[];

  run = 'run 0';
  held: Held = { entry: null, token: null };
  private dumped: Held = { entry: null, token: null };

  constructor(
    readonly clock: Clock,
    replicas: number,
  ) {
    this.reports = Array.from({ length: replicas }, () => ({ epoch: 0, seenMs: 0 }));
    this.links = Array.from({ length: replicas }, () => ({
      ...{ database: true, reads: true, writes: true },
    }));
  }

  /** A statement of a replica. @returns null where no answer came, which says nothing of whether it was done */
  async onDatabase<T>(replica: number, statement: () => T): Promise<T | null> {
    await this.clock.hop();
    if (!this.links[replica]!.database) return null;
    const answer = statement();
    await this.clock.hop();
    return this.links[replica]!.database ? answer : null;
  }

  /**
   * A script of a replica on the Redis that it is connected to. @returns null where no answer came, or that Redis is
   * another by now
   */
  async onRedis<T>(
    { replica, run }: { replica: number; run: string },
    way: 'reads' | 'writes',
    script: () => T,
  ): Promise<T | null> {
    await this.clock.hop();
    if (!this.links[replica]![way] || this.run !== run) return null;
    const answer = script();
    await this.clock.hop();
    return this.links[replica]![way] ? answer : null;
  }

  dump(): void {
    this.dumped = { ...this.held };
  }

  /** Redis comes back with what it held once, or a replica of it takes its place that had fallen behind. */
  restart(): void {
    this.run = `run ${this.clock.now}`;
    this.held = { ...this.dumped };
  }
}
