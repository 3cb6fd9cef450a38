import type { Client, Pool } from 'pg';
import type { Logger } from 'pino';
import { writable } from '#postgres';
import { CHANGES_CHANNEL } from './change-log.js';
import { MAX_OWED, type Overwrites } from './overwrites.js';

/** A row of the change log as those who follow it need it. */
export interface Change {
  seq: number;
  action: string;
  /** Null where the change is not of a key. */
  keyId: string | null;
  keyVersion: number | null;
  services: string[];
}

export interface FollowerOptions {
  pool: Pool;
  databaseUrl: string;
  /** Null where there is no Redis. */
  overwrites: Overwrites | null;
  log: Logger;
  /** Reads the head of the change log now; it comes back through {@link Follower.follow}. */
  wake: () => Promise<void>;
}

/** What a reading of the fence says of the change log. */
export interface Head {
  /** Its newest number. */
  head: number;
  /** How far some other replica, alive or not, has overwritten in Redis; null where there was none. */
  overwrittenTo: number | null;
  /** When the reading began, by `performance.now()`. */
  readMs: number;
}

/** Some changes, or that the log begins anew: what was told last may never have been, and its numbers are given again. */
export type Told = readonly Change[] | 'anew';

const PAGE = 500;

/**
 * Follows the change log: repeats the overwrite of every changed key's cache entry, so that a replica that died between its
 * commit and its overwrite leaves nothing behind, and tells the listeners in order, each number once. It hears of new rows
 * by NOTIFY, and by the fence's readings where a notice is lost.
 */
export class Follower {
  private followedTo: number | null = null;
  /** The last place at which Redis owed nothing, and when that was read. */
  private overwritten = { to: 0, readMs: -Infinity };
  private following: Promise<void> = Promise.resolve();
  private readonly listeners = new Set<(told: Told) => void>();
  private client: Client | null = null;
  private isStopped = false;

  constructor(private readonly options: FollowerOptions) {}

  /** Begins to listen; the connection is made anew whenever it ends. */
  start(): void {
    void this.listen();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.client?.end().catch(() => undefined);
    await this.following;
  }

  /** Newest number whose changes the listeners have been told. */
  get seq(): number {
    return this.followedTo ?? 0;
  }

  /** Everything committed up to this time has been told to the listeners; by `performance.now()`, whatever the clock does. */
  provenMs = -Infinity;

  /** How far Redis holds nothing older than the changes: null where there is no Redis here. */
  get overwrittenTo(): number | null {
    return this.options.overwrites === null ? null : this.overwritten.to;
  }

  /** Whether Redis holds nothing older than what had been committed at that time, by `performance.now()`, whoever did that. */
  async hasOverwritten(committedMs: number): Promise<boolean> {
    await this.following;
    return this.overwritten.readMs >= committedMs;
  }

  /** Calls `listener` with whatever is told from now on. @returns a function that ends it */
  subscribe(listener: (told: Told) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Follows up to the head, and resolves when all listeners have been told. The first call begins where another replica has come
   * to, as that may have died before it overwrote more.
   */
  follow(read: Head): Promise<void> {
    this.followedTo ??= this.beginning(read);
    this.following = this.following.then(() => this.advance(read));
    return this.following;
  }

  private beginning({ head, overwrittenTo }: Head): number {
    const { overwrites } = this.options;
    if (overwrites === null || overwrittenTo === null) return head;
    if (head - overwrittenTo <= MAX_OWED) return Math.min(overwrittenTo, head);
    overwrites.oweAll();
    return head;
  }

  /** Goes on from `head` of another history, which may be behind what was followed of the one before. */
  beginAnew(head: number): void {
    this.following = this.following.then(() => this.turnTo(head));
  }

  private turnTo(head: number): void {
    this.followedTo = head;
    // nothing of before is believed any more
    this.overwritten.to = head;
    for (const listener of this.listeners) listener('anew');
  }

  private async advance({ head, readMs }: Head): Promise<void> {
    const { overwrites } = this.options;
    try {
      await overwrites?.repeat([]);
      await this.catchUp(head);
      this.provenMs = Math.max(this.provenMs, readMs);
      if (overwrites?.isOwing === false) this.overwritten = { to: this.seq, readMs };
    } catch (error) {
      this.options.log.warn({ err: error }, 'the change log could not be followed');
    }
  }

  private async catchUp(head: number): Promise<void> {
    while (this.followedTo! < head) {
      const changes = await readChanges(this.options.pool, this.followedTo!, PAGE);
      if (changes.length === 0)
        throw new Error(`The change log has no rows after ${this.followedTo}`);
      await this.options.overwrites?.repeat(touchedBy(changes));
      this.followedTo = changes.at(-1)!.seq;
      for (const listener of this.listeners) listener(changes);
    }
  }

  private async listen(): Promise<void> {
    while (!this.isStopped) {
      const { connectionString, Client } = writable(this.options.databaseUrl);
      const client = new Client({
        connectionString,
        application_name: 'keyward changes',
        connectionTimeoutMillis: 2_000,
        keepAlive: true,
      });
      this.client = client;
      try {
        await this.hear(client);
      } catch (error) {
        this.options.log.debug({ err: error }, 'the listening connection ended');
      }
      await client.end().catch(() => undefined);
      if (!this.isStopped) await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /** Resolves or rejects when the connection ends. */
  private async hear(client: Client): Promise<void> {
    const ended = new Promise<void>((resolve, reject) => {
      client.once('end', resolve);
      client.on('error', reject);
    });
    // it may end before anybody waits for that: while it connects or is told to listen
    ended.catch(() => undefined);
    await client.connect();
    client.on('notification', () => void this.options.wake());
    await client.query(`LISTEN ${CHANGES_CHANNEL}`);
    await this.options.wake();
    await ended;
  }
}

function touchedBy(changes: readonly Change[]) {
  return changes.flatMap(({ keyId, keyVersion: version }) =>
    keyId === null || version === null ? [] : [{ keyId, version }],
  );
}

/** Rows after `seq`, in order, `limit` at most. */
export async function readChanges(pool: Pool, seq: number, limit: number): Promise<Change[]> {
  const { rows } = await pool.query<{
    seq: string;
    action: string;
    target_type: string;
    target_id: string;
    key_version: number | null;
    services: string[];
  }>({
    name: 'changes',
    text: `SELECT seq, action, target_type, target_id, key_version, services FROM keys.change_log
           WHERE seq > $1 ORDER BY seq LIMIT $2`,
    values: [seq, limit],
  });
  return rows.map((row) => ({
    seq: Number(row.seq),
    action: row.action,
    keyId: row.target_type === 'key' ? row.target_id : null,
    keyVersion: row.key_version,
    services: row.services,
  }));
}
