import { Cluster, type Redis } from 'ioredis';
import type { Logger } from 'pino';
import { MAX_RATE_LIMITS } from '#contracts';
import { createRedisClient, type RedisClient } from '#redis-client';
import { OutOfPatience, Patience } from './patience.js';
import { answerTo, Misdirected, numberedScript, type Numbered } from './redis-answers.js';
import { tellWhereAway } from './redis-away.js';
import { serversOf, type Servers } from './redis-servers.js';
import { callerOf, type Wire } from './redis-wire.js';

const COMMAND_TIMEOUT_MS = 50;
/** When the client itself gives a command up; whoever waits has long gone on. */
const ABANDON_MS = 1_000;
const FAILURES_TO_OPEN = 5;
/** Of a script about one key: its entry, its fill token, a bucket for each limit, the lease of its quota. */
const MAX_KEYS = MAX_RATE_LIMITS + 3;
/** Commands go out together, so that one moment of silence fails many: it has to last. */
const SILENCE_TO_OPEN_MS = 150;
/** A connection on which nobody answered for so long is one whose end was lost on its way: the system would tell after minutes. */
const SILENCE_TO_LEAVE_MS = 3_000;

/** What a command answered, and the run ids of the servers that were admitted when it did. */
export interface Answered<T> {
  answer: T;
  runs: readonly string[];
}

/** Runs a script on the admitted servers; null as in {@link RedisLink.use}. */
export type Script = <T>(
  keys: readonly string[],
  args: readonly (string | number)[],
) => Promise<Answered<T> | null>;

/**
 * The same for many questions in one: what was prepared of each is put together by `compose`, twice where the server does not
 * know the script yet. Texts in its answer are bytes.
 */
export type Bundle = <T>(compose: () => Wire) => Promise<Answered<T> | null>;

type Call = (
  keys: readonly string[],
  args: readonly (string | number)[],
) => Promise<Numbered<unknown>>;
type Scripted = Record<string, (...args: (string | number)[]) => Promise<Numbered<unknown>>>;

const ANSWERS_OTHERS = 'redis answers other questions than it was asked: connecting anew';

/**
 * The connection to Redis and whether it may be believed. Commands are sent only while the servers are admitted: their run
 * ids are listed in PostgreSQL (the fence admits). A lost connection, a changed cluster, or nothing but commands that fail or
 * take more than 50 ms, take the admission back; the fence tries again every quarter of a second. Nothing queues up meanwhile.
 */
export class RedisLink {
  private readonly client: RedisClient;
  private readonly patience = new Patience(COMMAND_TIMEOUT_MS);
  private admitted: Servers | null = null;
  private failures = 0;
  private failingSinceMs = 0;
  private scripts = 0;
  /** Counts the calls of scripts. */
  private calls = 0;
  /** Counts the connections. */
  private connection = 0;
  private warnedMs = -Infinity;
  /** Whether it connects anew because it was answered wrongly: all that was under way tells the same. */
  private isLeaving = false;
  /** Since when nobody says who they are, by `performance.now()`. */
  private silentSinceMs: number | null = null;

  constructor(
    url: string,
    private readonly log: Logger,
  ) {
    this.client = createRedisClient(url, { commandTimeoutMs: ABANDON_MS });
    for (const event of ['close', '-node', '+node']) {
      this.client.on(event, (node?: Redis) => {
        // of a cluster's replicas nothing is read, and who is admitted stays so while PostgreSQL, which admits, is away
        if (node?.options.readOnly === true) return;
        this.connection += 1;
        this.suspend('a connection was lost or made anew');
      });
    }
    this.client.on('ready', () => {
      this.isLeaving = false;
      this.silentSinceMs = null;
    });
    tellWhereAway(this.client, log);
  }

  /** Begins to connect, and keeps trying. */
  connect(): void {
    this.client.connect().catch((error: unknown) => this.log.debug({ err: error }, 'redis'));
  }

  /** Run ids of the servers that may be used now, or null. */
  get runs(): readonly string[] | null {
    return this.admitted?.runs ?? null;
  }

  get isConnected(): boolean {
    return this.client.status === 'ready';
  }

  /** Asks all masters who they are. @throws when one does not answer in time */
  async readServers(): Promise<Servers> {
    const { connection } = this;
    try {
      const servers = { ...(await this.patience.for(serversOf(this.client))), connection };
      this.silentSinceMs = null;
      return servers;
    } catch (error) {
      if (error instanceof Misdirected) this.connectAnew(ANSWERS_OTHERS);
      else if (error instanceof OutOfPatience) this.noteSilence();
      // who refuses to say, as while it reads its dump, is not silent
      else this.silentSinceMs = null;
      throw error;
    }
  }

  /** Not where the connection that they answered on was lost since: other servers may be at the end of the present one. */
  admit(servers: Servers): void {
    if (!this.isConnected || servers.connection !== this.connection) return;
    this.failures = 0;
    this.admitted = servers;
    this.log.info('redis is in use');
  }

  suspend(why: string): void {
    if (this.admitted !== null) this.log.warn({ why }, 'redis is not used for now');
    this.admitted = null;
  }

  /** Whether keys lie on several servers, so that a command is about those of one slot. */
  get isCluster(): boolean {
    return this.client instanceof Cluster;
  }

  /**
   * Makes a script known; it is sent once and called by its digest from then on. Its calls go out together with the other
   * commands of the moment. `patienceMs`: for its answers, 50 by default.
   */
  script(lua: string, { patienceMs = COMMAND_TIMEOUT_MS } = {}): Script {
    const patience = new Patience(patienceMs);
    const call = this.define(numberedScript(lua));
    return <T>(keys: readonly string[], args: readonly (string | number)[]) =>
      this.useNumbered((number) => {
        const nodes = this.admitted?.nodes.join() ?? '';
        return call(keys, [...args, nodes, number]) as Promise<Numbered<T>>;
      }, patience);
  }

  /** The same for a script whose calls go out at once, each many in one already; not on a cluster. */
  bundle(lua: string): Bundle {
    if (this.client instanceof Cluster) throw new Error('A bundle is of keys of several slots');
    const call = callerOf(this.client, numberedScript(lua));
    return <T>(compose: () => Wire) =>
      this.useNumbered((number) => call(compose, number) as Promise<Numbered<T>>, this.patience);
  }

  /**
   * A command for each number of keys: the client sends together what goes to one server of a cluster, and finds that server by
   * the first argument of a command that it does not know, which has to be a key, and not their number. All of them at once, as
   * what goes together takes no command that was made known since it began.
   */
  private define(lua: string): Call {
    const names = Array.from({ length: MAX_KEYS }, (_, i) => {
      this.scripts += 1;
      const name = `keyward${this.scripts}`;
      this.client.defineCommand(name, { lua, numberOfKeys: i + 1 });
      return name;
    });
    const scripted = this.client as unknown as Scripted;
    return (keys, args) => scripted[names[keys.length - 1]!]!(...keys, ...args);
  }

  /** Reads. Null as in {@link RedisLink.use}. */
  get(name: string): Promise<Answered<string | null> | null> {
    return this.use(() => this.client.get(name), asItIs, this.patience);
  }

  /** Deletes. Null as in {@link RedisLink.use}. */
  delete(name: string): Promise<Answered<number> | null> {
    return this.use(() => this.client.del(name), asItIs, this.patience);
  }

  close(): void {
    this.client.disconnect();
  }

  /**
   * Runs a command while the servers are admitted.
   *
   * @returns its answer, or null where Redis is not to be used, did not do it in time, or was lost meanwhile
   */
  private async use<Reply, T>(
    command: () => Promise<Reply>,
    read: (reply: Reply) => T,
    patience: Patience,
  ): Promise<Answered<T> | null> {
    const { admitted } = this;
    if (admitted === null) return null;
    try {
      const answer = read(await patience.for(command()));
      this.failures = 0;
      return this.admitted === admitted ? { answer, runs: admitted.runs } : null;
    } catch (error) {
      this.noteFailure(error as Error);
      return null;
    }
  }

  /** The same with a script, whose answer has to be to this very call. */
  private useNumbered<T>(
    command: (number: number) => Promise<Numbered<T>>,
    patience: Patience,
  ): Promise<Answered<T> | null> {
    const number = ++this.calls;
    return this.use(() => command(number), answerTo<T>(number), patience);
  }

  private noteSilence(): void {
    this.silentSinceMs ??= performance.now();
    if (performance.now() - this.silentSinceMs < SILENCE_TO_LEAVE_MS) return;
    this.silentSinceMs = null;
    this.connectAnew('redis does not answer: connecting anew');
  }

  /** Nothing that is still to come on this connection can be believed, or nothing is to come. */
  private connectAnew(why: string): void {
    // a cluster that is told so while it connects would not get on
    if (this.isLeaving || !this.isConnected) return;
    this.isLeaving = true;
    this.log.error(why);
    this.suspend('it is connected to anew');
    this.client.disconnect(true);
  }

  private noteFailure(error: Error): void {
    if (error instanceof Misdirected) return this.connectAnew(ANSWERS_OTHERS);
    if (error.message.startsWith('FOREIGN')) return this.suspend('the cluster has another master');
    if (error.name === 'ReplyError') return this.noteRefusal(error);
    if (this.failures === 0) this.failingSinceMs = performance.now();
    this.failures += 1;
    const silentMs = performance.now() - this.failingSinceMs;
    if (this.failures >= FAILURES_TO_OPEN && silentMs >= SILENCE_TO_OPEN_MS)
      this.suspend(error.message);
  }

  /** Logged once a second at most: a Redis that takes no writes refuses most verifications' scripts. */
  noteRefusal(error: Error): void {
    if (performance.now() - this.warnedMs < 1_000) return;
    this.warnedMs = performance.now();
    this.log.warn({ err: error }, 'redis refused a command');
  }
}

function asItIs<T>(answer: T): T {
  return answer;
}
