import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { RedisLink } from '../redis-link.js';
import type { DatabaseClock } from './database-clock.js';
import type { Head } from './follower.js';
import {
  type Reading,
  type Report,
  type Standing,
  type StandingQuestion,
  enterHistory,
  leaveFence,
  listRuns,
  raiseEpoch,
  readFence,
  readStanding,
} from './epoch-table.js';

/** A reading of the epoch vouches for cache entries this long, counted from its start. */
const FENCE_MS = 1_000;
const POLL_MS = 250;
/** A reading that takes longer says that PostgreSQL does not answer for now, whatever comes of it. */
const LATE_MS = 400;
/** Others need two readings to learn of an epoch and to say so; who waits must still answer within two seconds. */
const SETTLE_TRIES = 5;
/** A replica whose last reading is older than the grace and this may have been forgotten by who raises the epoch. */
const FORGOTTEN_AFTER_MS = 1_500;
/** Who raises asks about replicas heard of within the grace and this: above by more than one reading takes at most. */
const ASK_WITHIN_SECONDS = 4;
/** What a replica reports that has no Redis, and so goes by no epoch at all. */
const ANY_EPOCH = Number.MAX_SAFE_INTEGER;

export interface FenceOptions {
  /** For the readings, so that they wait for nobody. */
  pool: Pool;
  /** For those who ask whether everybody goes by a change: there may be many at a time. */
  askPool: Pool;
  link: RedisLink | null;
  log: Logger;
  graceSeconds: number;
  /** Hears of each reading before anything else does. */
  clock: Pick<DatabaseClock, 'hear'>;
  /** How far in the change log this replica has overwritten in Redis. */
  overwrittenTo: () => number | null;
  /** Called after each reading. */
  onHead?: (read: Head) => void;
  /** Called before that with the newest number, where PostgreSQL writes another history than at the last reading. */
  onHistory?: (head: number) => void;
}

/** The rules of imports as this replica knows them. */
export interface FollowedRules {
  /** Number of the row of the change log that they are read by, 0 in another history than that. */
  seqIn(timeline: string | null): number;
  /** Hears of each reading, that began at `startedMs` of `performance.now()`. */
  hear(reading: Pick<Reading, 'timeline' | 'imports'>, startedMs: number): void;
  /** Reads them now. @throws where PostgreSQL does not answer */
  refresh(): Promise<void>;
}

/**
 * Says whether this replica may believe the cache. The epoch lives in PostgreSQL; entries carry the epoch they were filled
 * in, and are believed only while this replica has read the epoch within the last second and it is theirs. Raising the
 * epoch therefore makes the whole cache cold for every replica within that second: that is what a mutation does whose
 * overwrite failed, and a replica that meets a Redis it does not know.
 *
 * While PostgreSQL does not answer, the last reading goes on for `graceSeconds`: nobody can have been told meanwhile that
 * a change is done, unless some other replica still reaches PostgreSQL, and that one then says `confirmed: false`.
 */
export class Fence {
  readonly replica = randomUUID();
  private epoch = 0;
  /** Of PostgreSQL, at the last reading. */
  private timeline: string | null = null;
  private readAtMs = -Infinity;
  private arrived = 0;
  private isAway = false;
  private isYoung = false;
  private rules: FollowedRules | null = null;
  private timer: NodeJS.Timeout | undefined;
  private polling: Promise<void> | null = null;
  private nextPoll: Promise<void> | null = null;
  private isStopped = false;

  /** Replicas alive at the last reading, at least 1. */
  replicas = 1;

  constructor(private readonly options: FenceOptions) {}

  /** First reading, then one every quarter of a second. @throws where PostgreSQL does not answer now */
  async start(): Promise<void> {
    await this.read();
    await this.admitRedis();
    this.schedule();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.polling;
    this.readAtMs = -Infinity;
    await leaveFence(this.options.pool, this.report).catch((error: unknown) => {
      this.options.log.debug({ err: error }, 'could not take leave of the fence');
    });
  }

  /** The epoch whose entries may be believed now, or null where nothing in the cache may. */
  trustedEpoch(): number | null {
    return this.isCurrent(this.readAtMs) ? this.epoch : null;
  }

  /** Whether what PostgreSQL said to who asked it then may still be gone by. */
  isCurrent(readAtMs: number): boolean {
    const ageMs = performance.now() - readAtMs;
    if (ageMs <= FENCE_MS) return true;
    return this.isAway && ageMs <= this.options.graceSeconds * 1_000;
  }

  /** Tells these rules of each reading from now on, and others how far they are. */
  attend(rules: FollowedRules): void {
    this.rules = rules;
  }

  /** The same while PostgreSQL was just seen not to answer: the grace begins without waiting for the next reading. */
  noteDatabaseAway(): number | null {
    this.isAway = true;
    return this.trustedEpoch();
  }

  /** Whether PostgreSQL did not answer when it was last asked. */
  get isDatabaseAway(): boolean {
    return this.isAway;
  }

  /** Whether entries are believed by the grace only: what PostgreSQL says now is not known. */
  get isInGrace(): boolean {
    return this.isAway && performance.now() - this.readAtMs > FENCE_MS;
  }

  /** Whether a number of the change log may be one of a history that was lost, and has been given again since. */
  get isHistoryYoung(): boolean {
    return this.isYoung;
  }

  /** Longest time that a replica goes by an epoch after another one was raised, where it could not be heard. */
  get boundSeconds(): number {
    return Math.max(this.options.graceSeconds, FENCE_MS / 1_000);
  }

  /** Whether verifications can be answered: a reading is at hand that still counts. */
  isReady(): boolean {
    return this.trustedEpoch() !== null;
  }

  /**
   * Whether everybody goes by what these runs of Redis hold: PostgreSQL lists them all, and no replica may still go by an
   * earlier epoch, and with it by another Redis, such as the one before a failover. Where they are not listed the epoch is
   * raised as by {@link Fence.raise}.
   *
   * @throws where PostgreSQL does not answer
   */
  async vouchFor(runs: readonly string[]): Promise<boolean> {
    const standing = await this.readStanding({ epoch: null, imports: 0 });
    const isListed = runs.every((run) => standing.runs.includes(run));
    return isListed && standing.isOfThisHistory ? this.settle(standing) : this.raise();
  }

  /**
   * Whether everybody goes by the imports as they are now; this replica does when it returns.
   *
   * @throws where PostgreSQL does not answer
   */
  async vouchForRules(): Promise<boolean> {
    await this.rules?.refresh();
    const imports = this.importsSeq;
    const standing = await this.readStanding({ epoch: null, imports });
    return standing.isOfThisHistory && this.settle(standing, imports);
  }

  /**
   * Makes every cache entry of now unbelievable, here at once and elsewhere as soon as the epoch is read.
   *
   * @returns whether every other replica that may be alive has been heard to have read the new epoch
   * @throws where PostgreSQL does not answer: the raise is not certain then
   */
  async raise(): Promise<boolean> {
    return this.settle({ epoch: await this.makeCold(), mayLag: true });
  }

  /** As {@link Fence.raise}, for who does not have to know when everybody has heard of it. @returns the new epoch */
  async makeCold(): Promise<number> {
    const epoch = await raiseEpoch(this.options.askPool);
    this.adopt(epoch);
    return epoch;
  }

  /** Waits a while until everybody goes by this epoch and these imports, or later ones. @returns whether it is so */
  private async settle(
    { epoch, mayLag }: Pick<Standing, 'epoch' | 'mayLag'>,
    imports = 0,
  ): Promise<boolean> {
    for (let tries = 0; mayLag && tries < SETTLE_TRIES; tries += 1) {
      if (tries > 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      ({ mayLag } = await this.readStanding({ epoch, imports }));
    }
    return !mayLag;
  }

  private get importsSeq(): number {
    return this.rules?.seqIn(this.timeline) ?? 0;
  }

  private readStanding(asked: Pick<StandingQuestion, 'epoch' | 'imports'>): Promise<Standing> {
    const { askPool, graceSeconds } = this.options;
    const withinSeconds = graceSeconds + ASK_WITHIN_SECONDS;
    return readStanding(askPool, { replica: this.replica, ...asked, withinSeconds });
  }

  /** A reading that starts after this call; calls that wait for one under way share the next. */
  poll(): Promise<void> {
    if (this.isStopped) return Promise.resolve();
    if (this.polling === null) {
      this.polling = this.readAndAdmit().finally(() => {
        this.polling = null;
      });
      return this.polling;
    }
    this.nextPoll ??= this.polling.then(() => {
      this.nextPoll = null;
      return this.poll();
    });
    return this.nextPoll;
  }

  private schedule(): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => void this.poll().finally(() => this.schedule()), POLL_MS);
  }

  private async readAndAdmit(): Promise<void> {
    // the grace begins before the last reading is too old, or verifications would wait for the store in between
    const late = setTimeout(() => (this.isAway = true), LATE_MS);
    try {
      await this.read().finally(() => clearTimeout(late));
      await this.admitRedis();
    } catch (error) {
      if (!this.isAway) this.options.log.warn({ err: error }, 'the epoch could not be read');
      this.isAway = true;
    }
  }

  private async read(): Promise<void> {
    const { pool, graceSeconds, link, clock } = this.options;
    const isForgotten =
      performance.now() - this.readAtMs > graceSeconds * 1_000 + FORGOTTEN_AFTER_MS;
    // who raises the epoch must know of this replica before it goes by a reading
    if (isForgotten) await readFence(pool, { ...this.report, epoch: 0, imports: 0 });
    const startedMs = performance.now();
    const reading = await readFence(pool, this.report);
    clock.hear({ theirsMs: reading.clockMs, startedMs, arrivedMs: performance.now() });
    const epoch = await this.enter(reading);
    this.adopt(epoch);
    this.readAtMs = startedMs;
    this.arrived = link === null ? ANY_EPOCH : epoch;
    this.replicas = reading.replicas;
    if (this.isAway) this.options.log.info('the database answers again');
    this.isAway = false;
    if (link?.runs?.every((run) => reading.runs.includes(run)) === false) {
      link.suspend('its run id is not listed any more');
    }
    this.rules?.hear(reading, startedMs);
    const { head, overwrittenTo } = reading;
    this.options.onHead?.({ head, overwrittenTo, readMs: startedMs });
  }

  private get report(): Report {
    const { replica, arrived: epoch, importsSeq: imports } = this;
    return { replica, epoch, imports, overwrittenTo: this.options.overwrittenTo() };
  }

  /** Enters the history that PostgreSQL writes, where that is another than at the last reading. @returns the epoch of it */
  private async enter({ timeline, epoch, head, isYoung }: Reading): Promise<number> {
    const isOther = timeline !== this.timeline;
    const entered = isOther ? await enterHistory(this.options.pool, this.epoch) : epoch;
    if (isOther && this.timeline !== null) this.options.onHistory?.(head);
    this.isYoung = isYoung || isOther;
    this.timeline = timeline;
    return entered;
  }

  private async admitRedis(): Promise<void> {
    const { link, pool, log } = this.options;
    if (link === null || link.runs !== null || !link.isConnected) return;
    const servers = await link.readServers().catch((error: unknown) => {
      log.debug({ err: error }, 'redis does not answer');
      return null;
    });
    if (servers === null) return;
    this.adopt(await listRuns(pool, servers.runs));
    link.admit(servers);
  }

  private adopt(epoch: number): void {
    this.epoch = Math.max(this.epoch, epoch);
  }
}
