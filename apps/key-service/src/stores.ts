import type pg from 'pg';
import type { Logger } from 'pino';
import type { DataSource } from 'typeorm';
import { connectWithin, type NamedDatabase } from '#server';
import type { DatabaseClock } from './changes/database-clock.js';
import { Fence } from './changes/fence.js';
import { Follower } from './changes/follower.js';
import type { KeyServiceEnv } from './config.js';
import { Markers } from './changes/marker.js';
import { Overwrites } from './changes/overwrites.js';
import { createDataSource, createPool, databaseOf, databaseUrlOf } from './database.js';
import { ENTITIES } from './entities.js';
import { RedisLink } from './redis-link.js';

const START_WITHIN_MS = 30_000;

/**
 * PostgreSQL and Redis, and what keeps them coherent. Management, the hot path and the fence have connections of their own,
 * so that none waits for another. Nothing is connected before {@link Stores.connect}.
 */
export class Stores {
  readonly db: DataSource;
  readonly hotPool: pg.Pool;
  readonly link: RedisLink | null;
  readonly markers: Markers | null;
  readonly fence: Fence;
  readonly follower: Follower;
  private readonly database: NamedDatabase;
  private readonly fencePool: pg.Pool;
  private readonly askPool: pg.Pool;

  constructor(
    env: KeyServiceEnv,
    private readonly log: Logger,
    clock: DatabaseClock,
  ) {
    const databaseUrl = databaseUrlOf(env);
    this.database = databaseOf(env);
    this.db = createDataSource(databaseUrl, ENTITIES);
    this.hotPool = createPool(databaseUrl, 8, log);
    this.fencePool = createPool(databaseUrl, 2, log);
    this.askPool = createPool(databaseUrl, 4, log);
    this.link = env.REDIS_URL === undefined ? null : new RedisLink(env.REDIS_URL, log);
    this.markers = this.link && new Markers(this.link);
    this.follower = new Follower({
      pool: this.fencePool,
      databaseUrl,
      overwrites: this.markers && this.overwritesBy(this.markers),
      log,
      wake: () => this.fence.poll(),
    });
    this.fence = new Fence({
      pool: this.fencePool,
      askPool: this.askPool,
      link: this.link,
      log,
      graceSeconds: env.GRACE_SECONDS,
      clock,
      onHistory: (head) => this.follower.beginAnew(head),
      onHead: (read) => void this.follower.follow(read),
      overwrittenTo: () => this.follower.overwrittenTo,
    });
  }

  private overwritesBy(markers: Markers): Overwrites {
    return new Overwrites({
      pool: this.fencePool,
      markers,
      raise: () => this.fence.makeCold(),
    });
  }

  /** @throws ConfigError where the database does not answer within 30 s */
  async connect(): Promise<void> {
    if (this.link === null) {
      this.log.warn(
        'REDIS_URL is not set: records are not cached, and rate limits count in this process only',
      );
    }
    this.link?.connect();
    const waiting = { limitMs: START_WITHIN_MS, log: this.log, database: this.database };
    await connectWithin(waiting, async () => {
      if (!this.db.isInitialized) await this.db.initialize();
      await this.fence.start();
    });
    this.follower.start();
  }

  /** Whether Redis holds nothing older than what was committed before this call, whoever did that. */
  async isOverwritten(): Promise<boolean> {
    const calledMs = performance.now();
    await this.fence.poll();
    return this.follower.hasOverwritten(calledMs);
  }

  async close(): Promise<void> {
    // with what was changed last
    await this.fence.poll();
    await this.follower.stop();
    await this.fence.stop();
    this.link?.close();
    if (this.db.isInitialized) await this.db.destroy();
    await Promise.all([this.hotPool, this.fencePool, this.askPool].map((pool) => pool.end()));
  }
}
