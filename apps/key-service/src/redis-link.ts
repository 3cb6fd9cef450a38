import { Redis } from 'ioredis';
import type { Logger } from 'pino';

const COMMAND_TIMEOUT_MS = 50;
const FAILURES_TO_OPEN = 5;

/**
 * The connection to Redis and whether it may be believed. Commands are sent only on an admitted connection: one whose
 * server's run id PostgreSQL lists (the fence admits). A lost connection, or five commands in a row that fail or take more
 * than 50 ms, take the admission back; the fence tries again every quarter of a second. Nothing queues up meanwhile.
 */
export class RedisLink {
  readonly client: Redis;
  private admittedRun: string | null = null;
  private failures = 0;

  constructor(
    url: string,
    private readonly log: Logger,
  ) {
    this.client = new Redis(url, {
      commandTimeout: COMMAND_TIMEOUT_MS,
      connectTimeout: 2_000,
      enableAutoPipelining: true,
      enableOfflineQueue: false,
      enableReadyCheck: true,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      lazyConnect: true,
      retryStrategy: (times) => Math.min(times * 50, 500),
    });
    this.client.on('close', () => this.suspend('connection lost'));
    this.client.on('error', (error: Error) => this.log.debug({ err: error }, 'redis'));
  }

  /** Begins to connect, and keeps trying. */
  connect(): void {
    this.client.connect().catch((error: unknown) => this.log.debug({ err: error }, 'redis'));
  }

  /** Run id of the server that may be used now, or null. */
  get run(): string | null {
    return this.admittedRun;
  }

  get isConnected(): boolean {
    return this.client.status === 'ready';
  }

  /** Asks the connected server for its run id. @throws when it does not answer in time */
  async readRun(): Promise<string> {
    const info = await this.client.info('server');
    const run = /run_id:([0-9a-f]+)/.exec(info)?.[1];
    if (run === undefined) throw new Error('Redis did not tell its run id');
    return run;
  }

  admit(run: string): void {
    this.failures = 0;
    this.admittedRun = run;
    this.log.info('redis is in use');
  }

  suspend(why: string): void {
    if (this.admittedRun !== null) this.log.warn({ why }, 'redis is not used for now');
    this.admittedRun = null;
  }

  /**
   * Runs a command on the admitted connection.
   *
   * @returns its answer and the run id it came from, or null where Redis is not to be used or did not do it within 50 ms
   */
  async use<T>(command: (client: Redis) => Promise<T>): Promise<{ answer: T; run: string } | null> {
    const run = this.admittedRun;
    if (run === null) return null;
    try {
      const answer = await command(this.client);
      this.failures = 0;
      return this.admittedRun === run ? { answer, run } : null;
    } catch (error) {
      this.noteFailure(error as Error);
      return null;
    }
  }

  close(): void {
    this.client.disconnect();
  }

  private noteFailure(error: Error): void {
    if (error.name === 'ReplyError') {
      this.log.warn({ err: error }, 'redis refused a command');
      return;
    }
    this.failures += 1;
    if (this.failures >= FAILURES_TO_OPEN) this.suspend(error.message);
  }
}
