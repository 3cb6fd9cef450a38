import { randomBytes } from 'node:crypto';
import { Pool, type QueryResultRow } from 'pg';
import { deriveKey } from '#key-core';
import { serversIn, writable } from '#postgres';
import { startIssuer } from '../../../apps/key-service/src/testing/issuer.js';
import { migrate } from '../../../migrations/migrate.js';
import { startAppProcess, type AppProcess } from '../../support/app-process.js';
import { startPostgres, type TestPostgres } from '../../support/postgres.js';
import { startProxy } from '../../support/proxy.js';
import { call, closeConnections, type Answer } from './http.js';
import { startRedisLinks, type Link } from './redis-links.js';
import { startRedis } from './redis.js';
import type { SomeRedis, Stores } from './stores.js';

/** A server of PostgreSQL and a Redis of the kind that is asked for, which a test can stop and start. */
export interface UsualStores extends Stores {
  postgres: TestPostgres;
}

const MAIN = new URL('../../../apps/key-service/src/main.js', import.meta.url);

/** A key service process with links of its own to PostgreSQL and Redis. */
export interface Replica {
  url: string;
  /** Where PostgreSQL is several servers there is none: it does nothing. */
  postgres: Link;
  redis: Link;
  /** All it has logged so far. */
  output: () => string;
  /** Ends it with SIGTERM. */
  stop: () => Promise<unknown>;
  /** Ends it with SIGKILL, in the middle of whatever it does; its links stay. */
  kill: () => Promise<void>;
  /** Starts a process in the place of the one that was killed, at the same address. */
  start: () => Promise<void>;
  /** Ends it with SIGTERM and starts another in its place; resolves with the exit code of the one that ended. */
  restart: () => Promise<number | null>;
  /** Whether it was away at some time since then, by `performance.now()`. */
  wasAwaySince: (ms: number) => boolean;
}

/** Key service replicas on one database and one cache, behind links that a test can break. */
export interface Cluster<S extends Stores = UsualStores> {
  replicas: readonly Replica[];
  redis: S['redis'];
  postgres: S['postgres'];
  /** Rows of a query as the owner of the database, past all links. */
  sql: <T extends QueryResultRow>(text: string, values?: unknown[]) => Promise<T[]>;
  /** A request of an admin to one replica. */
  manage: <T>(replica: number, order: string, more?: ManageOptions) => Promise<Answer<T>>;
  /** A request of service-a to one replica. */
  ask: <T>(replica: number, order: string, body: unknown, headers?: Headers) => Promise<Answer<T>>;
  /** The change feed of a replica as service-a follows it, to its end or the abort. */
  follow: (
    replica: number,
    options: { signal: AbortSignal; lastEventId?: number },
  ) => Promise<ReadableStream<Uint8Array>>;
  /** What the replicas seal cache entries with, and what they make digests of secrets with. */
  material: { cacheKey: Buffer; pepper: Buffer };
  /** service-a's own token. */
  serviceToken: () => Promise<string>;
  /** Takes all faults of the links away. */
  heal: () => void;
  stop: () => Promise<void>;
}

type Headers = Record<string, string>;

/** Body and headers of a request of an admin. */
export interface ManageOptions {
  body?: unknown;
  headers?: Headers;
}

/** How a cluster is to be. */
export interface ClusterOptions {
  replicas?: number;
  /** More variables for each replica. */
  env?: Record<string, string>;
}

/** Starts PostgreSQL, Redis, an issuer of tokens and the replicas, and waits until all listen. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  return startClusterOn({ postgres, redis }, options);
}

/** The same on stores of any kind, which are removed with the cluster. */
export async function startClusterOn<S extends Stores>(
  { postgres, redis }: S,
  { replicas: count = 3, env = {} }: ClusterOptions = {},
): Promise<Cluster<S>> {
  const issuer = await startIssuer();
  const runtimeUrl = postgres.urlFor('key_service', 'only-for-this-test');
  await migrate({ ownerUrl: postgres.url, keyServiceUrl: runtimeUrl });
  const [root, pepper] = [randomBytes(32), randomBytes(32)];
  const shared = {
    NODE_ENV: 'test',
    LOG_LEVEL: 'error',
    KEY_SERVICE_SECRET: root.toString('base64'),
    KEY_PEPPERS: `1:${pepper.toString('base64')}`,
    LOGIN_URL: issuer.url,
    ...env,
  };
  const to = { postgresUrl: runtimeUrl, redis };
  const replicas = await Promise.all(Array.from({ length: count }, () => startReplica(to, shared)));
  const pool = new Pool({ ...writable(postgres.url), max: 4 });
  pool.on('error', () => undefined);
  const tokens = {
    admin: renewed(() => issuer.person('usr_admin')),
    service: renewed(() => issuer.service('service-a', 'keys:verify')),
  };
  const send = async <T>(token: () => Promise<string>, order: Order): Promise<Answer<T>> => {
    const [method = '', path = ''] = order.order.split(' ');
    const { replica, body, headers } = order;
    const url = `${replicas[replica]!.url}${path}`;
    return call<T>({ method, url, token: await token(), body, ...(headers && { headers }) });
  };
  return {
    replicas,
    redis,
    sql: async (text, values) => (await anew(() => pool.query(text, values))).rows,
    postgres,
    manage: (replica, order, more = {}) => send(tokens.admin, { replica, order, ...more }),
    ask: (replica, order, body, headers = {}) =>
      send(tokens.service, { replica, order, body, headers }),
    follow: async (replica, { signal, lastEventId }) => {
      const headers = {
        authorization: `Bearer ${await tokens.service()}`,
        ...(lastEventId !== undefined && { 'last-event-id': String(lastEventId) }),
      };
      return (await fetch(`${replicas[replica]!.url}/v1/changes`, { headers, signal })).body!;
    },
    material: { cacheKey: deriveKey(root, 'cache'), pepper },
    serviceToken: tokens.service,
    heal: () => replicas.forEach(healReplica),
    stop: async () => {
      replicas.forEach(healReplica);
      closeConnections();
      await Promise.all(replicas.map((one) => one.stop()));
      await pool.end();
      await Promise.all([postgres.remove(), redis.remove(), issuer.stop()]);
    },
  };
}

interface Order extends ManageOptions {
  replica: number;
  /** Method and path. */
  order: string;
}

async function startReplica(
  to: { postgresUrl: string; redis: SomeRedis },
  env: Record<string, string>,
): Promise<Replica> {
  const isOne = serversIn(to.postgresUrl).length === 1;
  const [postgres, redis] = await Promise.all([
    isOne ? startProxy(to.postgresUrl) : NO_LINK,
    startRedisLinks(to.redis),
  ]);
  const shared = {
    ...env,
    KEY_SERVICE_DATABASE_URL: postgres.through(to.postgresUrl),
    REDIS_URL: redis.through(to.redis.url),
  };
  let app: AppProcess = await startAppProcess(MAIN, 'KEY_SERVICE_PORT', shared);
  const { url } = app;
  let isUpSinceMs = -Infinity;
  const start = async (): Promise<void> => {
    const place = { KEY_SERVICE_PORT: new URL(url).port };
    app = await startAppProcess(MAIN, 'KEY_SERVICE_PORT', { ...shared, ...place });
    isUpSinceMs = performance.now();
  };
  return {
    url,
    postgres,
    redis,
    output: () => app.output(),
    stop: async () => {
      await app.stop();
      await Promise.all([postgres.close(), redis.close()]);
    },
    kill: () => {
      isUpSinceMs = Infinity;
      return app.kill();
    },
    start,
    restart: async () => {
      const code = await app.stop();
      await start();
      return code;
    },
    wasAwaySince: (ms) => isUpSinceMs > ms,
  };
}

/** To several servers of PostgreSQL. */
const NO_LINK: Link = {
  through: (url) => url,
  cut: () => undefined,
  refuse: () => undefined,
  blackhole: () => undefined,
  hold: () => undefined,
  delay: () => undefined,
  close: () => Promise.resolve(),
};

function healReplica({ postgres, redis }: Replica): void {
  for (const link of [postgres, redis]) {
    link.refuse(false);
    link.blackhole(false);
    link.hold(false);
    link.delay(0);
  }
}

/** Once more where it fails: after a failover the first connection is made to the server that was the primary. */
function anew<T>(work: () => Promise<T>): Promise<T> {
  return work().catch(work);
}

/** A token that is made anew before it ends. */
function renewed(make: () => Promise<string>): () => Promise<string> {
  let token: Promise<string> | null = null;
  let madeMs = 0;
  return () => {
    if (token === null || performance.now() - madeMs > 300_000) {
      token = make();
      madeMs = performance.now();
    }
    return token;
  };
}
