export {
  createRedisClient,
  isRedisUrl,
  NO_REDIS_URL,
  type RedisClient,
} from './create-redis-client.js';
