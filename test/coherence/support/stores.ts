import type { Redis } from 'ioredis';

/** A database that a cluster can stand on, of one server or several. */
export interface SomePostgres {
  /** Connection string of the owner. */
  url: string;
  urlFor: (role: string, password: string) => string;
  remove: () => Promise<void>;
}

/** What a Redis may be of. */
export type RedisKind = 'single' | 'cluster' | 'sentinel';

/**
 * A cache that a cluster can stand on, of any kind: it can be taken away and come back with what it held at some time in the
 * past, and a test can do at its servers whatever it likes, behind everybody's back.
 */
export interface SomeRedis {
  kind: RedisKind;
  /** As `REDIS_URL` takes it. */
  url: string;
  /** Where its servers listen, all that a client may be sent to. */
  ports: readonly number[];
  /** The server that takes what is written under a name now, as its administrator. */
  at: (name: string) => Promise<Redis>;
  /** Does something at every server that takes writes now. */
  each: (work: (admin: Redis) => Promise<unknown>) => Promise<void>;
  /** What is kept under a name, wherever that is. */
  get: (name: string) => Promise<string | null>;
  /** Names that fit a pattern, of all servers. */
  names: (pattern: string) => Promise<string[]>;
  /** Keeps what it holds now as the dump that each later start loads. */
  dump: () => Promise<void>;
  /** Kills all of it; the dump stays. */
  stop: () => Promise<void>;
  /** Starts it on the same ports with the last dump, empty where there is none, and waits until it can be used. */
  start: () => Promise<void>;
  /** What its servers say of themselves, a line each, for who has waited in vain. */
  state: () => Promise<string>;
  remove: () => Promise<void>;
}

/** What a cluster stands on; removed with it. */
export interface Stores {
  postgres: SomePostgres;
  redis: SomeRedis;
}
