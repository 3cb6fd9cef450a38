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
  const match = /^redis(s?)(-cluster|-sentinel)?:\/\/(?:([^@/]*)@)?([^/]+)(?:\/(.*))?$/.exec(url);
  if (match === null)
    throw new Error('Use redis://, redis-cluster:// or redis-sentinel:// as REDIS_URL');
  const [, secure, kind, user = '', hosts, path = ''] = match as unknown as string[];
  const common = {
    ...COMMON,
    ...(commandTimeoutMs !== null && { commandTimeout: commandTimeoutMs }),
  };
  if (kind === undefined) return new Redis(url, common);
  const nodes = hosts!.split(',').map((host) => nodeOf(host, kind === '-cluster' ? 6379 : 26_379));
  const options = { ...common, ...credentialsOf(user), ...(secure && { tls: {} }) };
  if (kind === '-cluster') return new PromptCluster(nodes, { ...CLUSTER, redisOptions: options });
  if (path === '')
    throw new Error('Name the master in REDIS_URL: redis-sentinel://host:26379/mymaster');
  return new Redis({
    ...options,
    sentinels: nodes,
    name: path,
    sentinelRetryStrategy: (times) => Math.min(times * 50, 500),
  });
}

function nodeOf(text: string, defaultPort: number): { host: string; port: number } {
  const { hostname, port } = new URL(`redis://${text}`);
  return { host: hostname, port: port === '' ? defaultPort : Number(port) };
}

function credentialsOf(user: string): Pick<RedisOptions, 'username' | 'password'> {
  const [username = '', password = ''] = user.split(':').map(decodeURIComponent);
  return { ...(username && { username }), ...(password && { password }) };
}
