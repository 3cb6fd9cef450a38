import type { Logger } from 'pino';
import type { RedisClient } from '#redis-client';
import { reasonOf } from '#server';

/** Says that Redis does not answer, and why, once until it does. */
export function tellWhereAway(client: RedisClient, log: Logger): void {
  let isTold = false;
  client.on('ready', () => (isTold = false));
  client.on('error', (error: Error) => {
    log.debug({ err: error }, 'redis');
    if (!isTold) log.warn({ why: reasonOf(error) }, AWAY);
    isTold = true;
  });
}

const AWAY =
  'the Redis that REDIS_URL names does not answer; records are read from PostgreSQL, and limits count in this process, until it does';
