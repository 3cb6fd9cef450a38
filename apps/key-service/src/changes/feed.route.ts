import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Pool } from 'pg';
import { z } from 'zod';
import type { Claims } from '#contracts';
import type { TokenVerifier } from '#jwt-guard';
import { describeRoute, ProblemException } from '#server';
import { serviceCaller } from '../service-caller.js';
import type { Fence } from './fence.js';
import { readChanges, type Change, type Follower, type Told } from './follower.js';

/** Path of the change feed. */
export const FEED_PATH = '/v1/changes';

const HEARTBEAT_MS = 500;
/** Of a process. */
const MAX_STREAMS = 1_000;
const MAX_REPLAY = 10_000;
const REPLAY_PAGE = 1_000;
/** Replicas hear of a change within a quarter of a second of each other. */
const BEHIND_MS = 1_000;
const BEHIND_STEP_MS = 20;
const MAX_UNSENT_BYTES = 1024 * 1024;

export interface FeedParts {
  follower: Follower;
  fence: Fence;
  pool: Pool;
  tokens: TokenVerifier;
  /** The clock that all replicas go by: milliseconds since 1970. */
  now: () => number;
}

/**
 * `GET /v1/changes`: server-sent events about the keys that are granted for the calling service.
 *
 * - `hello {now}` once: the time by the clock of the database, stamped after the request came in, so that the client can place `at` on its own clock
 * - `change {seq, keyId, version, action}` in order; `Last-Event-ID` goes on after any number
 * - `policy {seq}` where the service itself was changed: terms of its policy that were told before are void
 * - `heartbeat {seq, at}` every 500 ms while it is true: everything committed up to `at` is included up to `seq`
 * - `reset {seq}`: the gap is too large (over 10,000 rows), the number is not ours, PostgreSQL lost what was committed last in a
 *   failover, so that numbers are given again, or imported keys of the service have begun or ceased to count; forget everything, go on
 *   from `seq`
 *
 * Within a stream all times are of one clock that nobody sets: `at` may be compared with `now`, not with the calendar.
 *
 * The stream ends when the token does, when the app stops, when what was missed cannot be read, and when the client lets 1 MiB
 * pile up. HEAD answers with the headers alone.
 *
 * A process has 1,000 streams at most, and a service gets no further one where it has as many as are left for all: alone it has half
 * of them, and there is always one for a service that has none until ten have taken all they may.
 */
export function registerFeed(fastify: FastifyInstance, parts: FeedParts): void {
  const streams = new Set<FeedStream>();
  fastify.addHook('preClose', (done) => {
    for (const stream of streams) stream.end();
    done();
  });
  fastify.head(FEED_PATH, async (request, reply) => {
    await serviceCaller(request, parts.tokens);
    return reply.type('text/event-stream').send();
  });
  fastify.get(FEED_PATH, { exposeHeadRoute: false }, async (request, reply) => {
    const caller = await serviceCaller(request, parts.tokens);
    refuseTooMany(streams, caller.sub);
    const stream = new FeedStream(reply, caller, parts);
    streams.add(stream);
    reply.raw.once('close', () => {
      streams.delete(stream);
      stream.stop();
    });
    await stream.begin(request).catch((error: unknown) => {
      request.log.warn({ err: error }, 'a change feed could not be begun');
      stream.end();
    });
    return reply;
  });
}

/** Adds the change feed, which is not a Nest controller, to the app's OpenAPI document. */
export function describeFeed(document: OpenAPIObject): void {
  describeRoute(document, {
    method: 'get',
    path: FEED_PATH,
    tag: 'Changes',
    summary: 'Follow the changes of the keys that are granted for the calling service',
    answer: {
      status: 200,
      description:
        'Server-sent events: hello {now}, change {seq, keyId, version, action}, policy {seq}, heartbeat {seq, at} every 500 ms, reset {seq}. ' +
        'Last-Event-ID goes on after a number.',
      schema: z.string(),
      mediaType: 'text/event-stream',
    },
  });
}

/** @throws ProblemException SERVICE_UNAVAILABLE where a service has as many streams as are left for all */
function refuseTooMany(streams: ReadonlySet<FeedStream>, service: string): void {
  const left = MAX_STREAMS - streams.size;
  const own = [...streams].filter((one) => one.service === service).length;
  if (own < left) return;
  const why =
    left === 0
      ? `All ${MAX_STREAMS} streams are taken here`
      : `${service} has ${own} streams open here, and others need the ${left} that are left`;
  throw new ProblemException(
    'SERVICE_UNAVAILABLE',
    `${why}; follow another replica, or close some`,
    {
      headers: { 'retry-after': '5' },
    },
  );
}

/** One client's stream. */
class FeedStream {
  private sentTo = 0;
  private sentProvenMs = -Infinity;
  /** Of the server's clock, when the stream began; from there on its times go by the monotonic one. */
  private readonly beganAtMs: number;
  private readonly beganMs = performance.now();
  private isStopped = false;
  private unsubscribe: () => void = () => undefined;
  private readonly timers: NodeJS.Timeout[] = [];

  constructor(
    private readonly reply: FastifyReply,
    private readonly caller: Claims,
    private readonly parts: FeedParts,
  ) {
    this.beganAtMs = parts.now();
  }

  /** Sends what came after `Last-Event-ID`, then goes on with what comes. */
  async begin(request: FastifyRequest): Promise<void> {
    const { follower } = this.parts;
    const after = placeOf(request);
    this.reply.hijack();
    this.reply.raw.writeHead(200, {
      ...(this.reply.getHeaders() as Record<string, string>),
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      // nothing comes after a stream, and a stopping app must not wait for the connection
      connection: 'close',
    });
    this.send('hello', { now: this.timeOf(performance.now()) });
    const early: Told[] = [];
    const stopCollecting = follower.subscribe((told) => early.push(told));
    try {
      await this.replay(after);
    } finally {
      stopCollecting();
    }
    if (this.isStopped) return;
    for (const told of early) this.hear(told);
    this.unsubscribe = follower.subscribe((told) => this.hear(told));
    this.beat();
    this.timers.push(
      setInterval(() => this.beat(), HEARTBEAT_MS),
      setTimeout(() => this.end(), Math.max(0, this.caller.exp * 1_000 - this.parts.now())),
    );
  }

  /** Who follows. */
  get service(): string {
    return this.caller.sub;
  }

  end(): void {
    this.stop();
    this.reply.raw.end();
  }

  stop(): void {
    this.isStopped = true;
    this.unsubscribe();
    for (const timer of this.timers) clearTimeout(timer);
  }

  private async replay(after: number | null): Promise<void> {
    const { follower, fence, pool } = this.parts;
    await this.catchUp(after);
    const head = follower.seq;
    this.sentTo = after ?? head;
    if (after === null) return;
    // whoever followed a history that was lost may hold a number that means something else by now
    if (fence.isHistoryYoung) return this.reset();
    if (after === head) return;
    if (Number.isNaN(after) || after > head || head - after > MAX_REPLAY) return this.reset();
    while (this.sentTo < head) {
      const changes = await readChanges(pool, this.sentTo, REPLAY_PAGE);
      if (changes.length === 0) return;
      this.tell(changes.filter((one) => one.seq <= head));
    }
  }

  /** Another replica may have told the client of changes that are still on their way to this one. */
  private async catchUp(after: number | null): Promise<void> {
    const isBehind = () => after !== null && after > this.parts.follower.seq && !this.isStopped;
    for (const endMs = performance.now() + BEHIND_MS; isBehind() && performance.now() < endMs;)
      await new Promise((resolve) => setTimeout(resolve, BEHIND_STEP_MS));
  }

  private reset(): void {
    this.sentTo = this.parts.follower.seq;
    this.send('reset', { seq: this.sentTo }, this.sentTo);
  }

  private hear(told: Told): void {
    if (told === 'anew') this.reset();
    else this.tell(told);
  }

  private tell(changes: readonly Change[]): void {
    for (const { seq, keyId, keyVersion: version, action, services } of changes) {
      if (seq <= this.sentTo) continue;
      this.sentTo = seq;
      if (!services.includes(this.caller.sub)) continue;
      if (action === 'import.moved') this.send('reset', { seq }, seq);
      else if (keyId === null) this.send('policy', { seq }, seq);
      else this.send('change', { seq, keyId, version, action }, seq);
    }
  }

  private beat(): void {
    const { seq, provenMs } = this.parts.follower;
    if (provenMs === this.sentProvenMs || seq > this.sentTo) return;
    this.sentProvenMs = provenMs;
    this.send('heartbeat', { seq, at: this.timeOf(provenMs) }, seq);
  }

  private timeOf(ms: number): string {
    return new Date(this.beganAtMs + ms - this.beganMs).toISOString();
  }

  private send(event: string, data: object, id?: number): void {
    const { raw } = this.reply;
    if (raw.writableLength > MAX_UNSENT_BYTES) return void raw.destroy();
    raw.write(
      `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`,
    );
  }
}

/** `Last-Event-ID` as a number: null where none was sent, NaN where it is not one of ours. */
function placeOf(request: FastifyRequest): number | null {
  const given = request.headers['last-event-id'];
  if (given === undefined) return null;
  return typeof given === 'string' && /^\d{1,15}$/.test(given) ? Number(given) : NaN;
}
