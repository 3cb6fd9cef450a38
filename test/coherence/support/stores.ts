/** A database that a cluster can stand on, of one server or several. */
export interface SomePostgres {
  /** Connection string of the owner. */
  url: string;
  urlFor: (role: string, password: string) => string;
  remove: () => Promise<void>;
}

/** A cache that a cluster can stand on: one server, a Sentinel set or a Redis Cluster. */
export interface SomeRedis {
  /** As `REDIS_URL` takes it. */
  url: string;
  /** What is kept under a name, wherever that is. */
  get: (name: string) => Promise<string | null>;
  /** Names that fit a pattern, of all servers. */
  names: (pattern: string) => Promise<string[]>;
  /** What its servers say of themselves, a line each, for who has waited in vain. */
  state: () => Promise<string>;
  remove: () => Promise<void>;
}

/** What a cluster stands on; removed with it. */
export interface Stores {
  postgres: SomePostgres;
  redis: SomeRedis;
}
