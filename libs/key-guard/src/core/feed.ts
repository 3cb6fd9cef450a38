import type { ClientRequest, IncomingMessage } from 'node:http';
import { z } from 'zod';
import { instantOut, keyId } from '#contracts';
import { boundedToken } from './bounded-token.js';
import { open } from './exchange.js';
import { FeedClock } from './feed-clock.js';
import type { GuardSettings } from './options.js';
import type { ServiceToken } from './service-token.js';
import { EventCutter, type StreamEvent } from './sse.js';

/** What the feed tells a guard. */
export interface FeedListener {
  /** The key has this version now. */
  change: (keyId: string, version: number) => void;
  /** Terms of the service's policy that were told before are void. */
  policy: () => void;
  /** The key service's time was told. */
  hello: () => void;
  /** The feed begins anew: changes before now may have gone untold. */
  restart: () => void;
}

const seq = z.int().min(0);
const EVENTS = {
  hello: z.object({ now: instantOut }),
  change: z.object({ seq, keyId, version: z.int().min(0) }),
  policy: z.object({ seq }),
  heartbeat: z.object({ seq, at: instantOut }),
  reset: z.object({ seq }),
};

/** A stream that has not begun in this time, from the look-up of the name to the headers of the answer, is tried elsewhere. */
const BEGIN_WITHIN_MS = 3_000;
/** Heartbeats come every half second; a stream that is silent for longer than this is dead. */
const SILENCE_MS = 1_600;
/** A stream whose heartbeats prove nothing for so long is left for another. */
const UNPROVEN_MS = 5_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Follows the change feed of the key service, at one replica after the other, and knows how far it is proven: everything
 * committed up to {@link provenAtMs}, by the clock here, has been told. A stream that breaks is resumed after the last number
 * that was heard, so that nothing goes untold; pauses between tries are random, so that guards do not come back all at once.
 */
export class Feed {
  readonly clock = new FeedClock();
  /** By `performance.now()`. */
  provenAtMs = -Infinity;
  private lastSeq: number | null = null;
  private place = 0;
  private failures = 0;
  private isStopped = false;
  private request: ClientRequest | null = null;
  private timer: NodeJS.Timeout | undefined;
  private readonly token: ServiceToken;

  constructor(
    private readonly settings: GuardSettings,
    private readonly listener: FeedListener,
  ) {
    const bound = { withinMs: 2 * settings.timeoutMs, isBackground: true };
    this.token = boundedToken(settings.token, bound);
  }

  start(): void {
    void this.follow();
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.request?.destroy();
  }

  private async follow(): Promise<void> {
    let refused: string | undefined;
    while (!this.isStopped) {
      try {
        const bearer = await this.token(refused);
        if (this.isStopped) return;
        refused = (await this.stream(bearer)) === 401 ? bearer : undefined;
      } catch {
        refused = undefined;
      }
      if (this.isStopped) return;
      this.place += 1;
      await this.pause();
    }
  }

  private pause(): Promise<void> {
    const longestMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.failures);
    this.failures += 1;
    return new Promise((resolve) => {
      this.timer = setTimeout(resolve, Math.random() * longestMs);
      this.timer.unref();
    });
  }

  /** Follows one stream to its end. @returns its status. @throws where the connection fails or it says what is not agreed */
  private stream(bearer: string): Promise<number> {
    const { urls, ca } = this.settings;
    const url = new URL(`${urls[this.place % urls.length]!.replace(/\/+$/, '')}/v1/changes`);
    const sentAtMs = performance.now();
    const headers = {
      authorization: `Bearer ${bearer}`,
      accept: 'text/event-stream',
      ...(this.lastSeq !== null && { 'last-event-id': String(this.lastSeq) }),
    };
    const sent = open(url, { method: 'GET', headers, agent: false, ca });
    this.request = sent;
    return new Promise((resolve, reject) => {
      // the silence is counted only once there is a connection
      const late = () => sent.destroy(new Error('The feed does not begin'));
      const timer = setTimeout(late, BEGIN_WITHIN_MS).unref();
      sent.setTimeout(SILENCE_MS, () => sent.destroy(new Error('The feed is silent')));
      sent.on('error', reject);
      sent.on('close', () => clearTimeout(timer));
      sent.on('socket', (socket) => socket.unref());
      sent.on('response', (response) => {
        clearTimeout(timer);
        const status = response.statusCode ?? 0;
        response.on('error', reject);
        response.on('close', () => resolve(status));
        if (status === 200) this.read(response, sent, sentAtMs);
        else response.resume();
      });
      sent.end();
    });
  }

  private read(response: IncomingMessage, sent: ClientRequest, sentAtMs: number): void {
    const cutter = new EventCutter();
    const beganAtMs = performance.now();
    response.setEncoding('utf8').on('data', (piece: string) => {
      if (this.isStopped || this.request !== sent) return;
      try {
        for (const event of cutter.feed(piece)) this.take(event, sentAtMs);
        const provenMs = Math.max(beganAtMs, this.provenAtMs);
        if (performance.now() - provenMs > UNPROVEN_MS) throw new Error('The feed proves nothing');
      } catch (error) {
        sent.destroy(error as Error);
      }
    });
  }

  private take({ name, data }: StreamEvent, sentAtMs: number): void {
    switch (name) {
      case 'hello':
        this.clock.hello(sentAtMs, Date.parse(EVENTS.hello.parse(JSON.parse(data)).now));
        this.listener.hello();
        // what is told from now on leaves a gap, unless it goes on after a number
        if (this.lastSeq === null) this.listener.restart();
        return;
      case 'change': {
        const told = EVENTS.change.parse(JSON.parse(data));
        this.listener.change(told.keyId, told.version);
        return this.heard(told.seq);
      }
      case 'policy':
        this.listener.policy();
        return this.heard(EVENTS.policy.parse(JSON.parse(data)).seq);
      case 'reset':
        this.lastSeq = EVENTS.reset.parse(JSON.parse(data)).seq;
        this.provenAtMs = -Infinity;
        return this.listener.restart();
      case 'heartbeat':
        return this.beat(data);
      default:
    }
  }

  private beat(data: string): void {
    const { seq, at } = EVENTS.heartbeat.parse(JSON.parse(data));
    this.heard(seq);
    const provenAtMs = this.clock.ownOf(Date.parse(at), performance.now());
    this.provenAtMs = Math.max(this.provenAtMs, provenAtMs);
    this.failures = 0;
  }

  private heard(seq: number): void {
    this.lastSeq = Math.max(this.lastSeq ?? 0, seq);
  }
}
