import { readFileSync } from 'node:fs';
import { ThrottlerStorageService, type ThrottlerStorage } from '@nestjs/throttler';
import type { Result } from 'ioredis';
import type { Logger } from 'pino';
import { createRedisClient, type RedisClient } from '#redis-client';
import { reasonOf } from '#server';

type Count = Awaited<ReturnType<ThrottlerStorage['increment']>>;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    countCall(key: string, windowMs: number, limit: number): Result<[number, number], Context>;
  }
}

const COMMAND_TIMEOUT_MS = 200;
const PAUSE_MS = 1_000;
const AWAY =
  'the Redis that REDIS_URL names does not answer; this process counts calls for itself until it does';
const COUNT_CALL = readFileSync(new URL('count-call.lua', import.meta.url), 'utf8');

/**
 * Counts in Redis, shared by all replicas, and in this process where there is no Redis or it does not answer within 200 ms:
 * an outage loosens the limits, it lets nobody out and locks nobody in. After a failure Redis is left alone for 1 s.
 */
export class LimitStorage implements ThrottlerStorage {
  private readonly own = new ThrottlerStorageService();
  private readonly redis: RedisClient | null;
  private pausedUntilMs = 0;

  constructor(
    url: string | undefined,
    private readonly log: Logger,
  ) {
    this.redis = url === undefined ? null : connection(url, log);
  }

  /** Tries to reach Redis, for 2 s at most; where that fails it goes on trying by itself. */
  async start(): Promise<void> {
    if (this.redis?.status !== 'wait') return;
    let why: unknown;
    this.redis.once('error', (error: unknown) => (why = error));
    await this.redis.connect().catch((error: unknown) => {
      this.log.warn({ why: reasonOf(why ?? error) }, AWAY);
    });
  }

  stop(): void {
    this.redis?.disconnect();
    this.own.onApplicationShutdown();
  }

  async increment(
    key: string,
    ttl: number,
    limit: number,
    ...rest: [number, string]
  ): Promise<Count> {
    const shared = await this.countShared(key, ttl, limit);
    if (shared === null) return this.own.increment(key, ttl, limit, ...rest);
    const [totalHits, waitMs] = shared;
    const seconds = Math.ceil(waitMs / 1_000);
    return { totalHits, timeToExpire: seconds, isBlocked: waitMs > 0, timeToBlockExpire: seconds };
  }

  private async countShared(key: string, ttl: number, limit: number) {
    if (this.redis?.status !== 'ready' || performance.now() < this.pausedUntilMs) return null;
    try {
      return await this.redis.countCall(key, ttl, limit);
    } catch (error) {
      this.pausedUntilMs = performance.now() + PAUSE_MS;
      this.log.warn({ err: error }, 'redis does not count calls; this process counts for itself');
      return null;
    }
  }
}

function connection(url: string, log: Logger): RedisClient {
  const redis = createRedisClient(url, { commandTimeoutMs: COMMAND_TIMEOUT_MS });
  redis.on('error', (error: Error) => log.debug({ err: error }, 'redis'));
  redis.defineCommand('countCall', { numberOfKeys: 1, lua: COUNT_CALL });
  return redis;
}
