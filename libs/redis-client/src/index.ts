export { createRedisClient, type RedisClient } from './create-redis-client.js';
