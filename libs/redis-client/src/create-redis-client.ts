import { Redis, type Cluster, type ClusterOptions, type RedisOptions } from 'ioredis';
import { PromptCluster } from './prompt-cluster.js';

/** A server, a server behind Sentinel, or a cluster. */
export type RedisClient = Redis | Cluster;

const COMMON: RedisOptions = {
  connectTimeout: 2_000,
  enableAutoPipelining: true,
  enableOfflineQueue: false,
  enableReadyCheck: true,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  lazyConnect: true,
  retryStrategy: (times) => Math.min(times * 50, 500),
};

const CLUSTER: ClusterOptions = {
  enableAutoPipelining: true,
  // PromptCluster queues nothing
  enableOfflineQueue: true,
  lazyConnect: true,
  maxRedirections: 3,
  retryDelayOnFailover: 10,
  retryDelayOnClusterDown: 10,
  slotsRefreshTimeout: 1_000,
  slotsRefreshInterval: 2_000,
  clusterRetryStrategy: (times) => Math.min(times * 50, 500),
};

/**
 * A client, not yet connected, for one of
 * `redis[s]://[user:password@]host[:port][/db]`,
 * `redis[s]-cluster://[user:password@]host:port,host:port` and
 * `redis[s]-sentinel://[user:password@]host:port,host:port/master-name`.
 *
 * Nothing is queued while it is not connected and nothing sent twice: a command fails at once, or after `commandTimeoutMs`;
 * with null the caller sets the limit. Of a cluster what goes to a node that is being connected to waits for that, within the same limit;
 * it may still be sent afterwards.
 *
 * @throws Error where the address is none of these, without repeating it
 */
export function createRedisClient(
  url: string,
  { commandTimeoutMs }: { commandTimeoutMs: number | null },
): RedisClient {
  const { secure, kind, user, nodes, path } = addressIn(url);
  const common = {
    ...COMMON,
    ...(commandTimeoutMs !== null && { commandTimeout: commandTimeoutMs }),
  };
  if (kind === undefined) return new Redis(url, common);
  const options = { ...common, ...credentialsOf(user), ...(secure && { tls: {} }) };
  if (kind === '-cluster') return new PromptCluster(nodes, { ...CLUSTER, redisOptions: options });
  return new Redis({
    ...options,
    sentinels: nodes,
    name: path,
    sentinelRetryStrategy: (times) => Math.min(times * 50, 500),
  });
}

/** Whether {@link createRedisClient} takes it. */
export function isRedisUrl(url: string): boolean {
  try {
    return credentialsOf(addressIn(url).user) !== null;
  } catch {
    return false;
  }
}

/** What is said of a setting that is none. */
export const NO_REDIS_URL =
  'must be redis://[user:password@]host:port, redis-cluster://host:port,host:port or redis-sentinel://host:port,host:port/master';

function addressIn(url: string) {
  const match = /^redis(s?)(-cluster|-sentinel)?:\/\/(?:([^@/]*)@)?([^/]+)(?:\/(.*))?$/.exec(url);
  const [, secure, kind, user = '', hosts = '', path = ''] = (match ?? []) as string[];
  const isUnnamed = kind === '-sentinel' && path === '';
  if (match === null || isUnnamed) throw new Error(`An address of Redis ${NO_REDIS_URL}`);
  const nodes = hosts.split(',').map((host) => nodeOf(host, kind === '-sentinel' ? 26_379 : 6379));
  return { secure, kind, user, nodes, path };
}

function nodeOf(text: string, defaultPort: number): { host: string; port: number } {
  const { hostname, port } = new URL(`redis://${text}`);
  return { host: hostname, port: port === '' ? defaultPort : Number(port) };
}

function credentialsOf(user: string): Pick<RedisOptions, 'username' | 'password'> {
  const [username = '', password = ''] = user.split(':').map(decodeURIComponent);
  return { ...(username && { username }), ...(password && { password }) };
}
