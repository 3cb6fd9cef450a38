import type { Bed } from './bed.js';
import { requestOf } from './load.js';
import type { Goal } from './report.js';
import { startBare, type BareRoute, type Server } from './servers.js';
import type { Target } from './slices.js';
import { answerFromCache, ask, askingToken, HIT, MISS } from './targets.js';

const BATCH = 100;
/** Keys besides, of which only the store is asked: that fills the cache anew, and what a process knew of them is no hit then. */
export const MISSED_KEYS = 2_000;
const FROM_STORE = { 'cache-control': 'no-cache' };
/** What one pipeline of 100 scripts brought in keys a second, against one script a request, where the goals were set. */
const PIPELINE_ELSEWHERE = 8.8;

/** Two targets of one ratio of keys a second. */
export interface Pair {
  name: string;
  ours: Target;
  theirs: Target;
  goal: Goal;
  /** Whether latencies at half load are compared, too. */
  isTimed?: boolean;
}

/** A key service on a seeded database, and the texts of its keys. */
export interface Ground {
  service: Server;
  texts: string[];
  runtimeUrl: string;
}

type Bodies = readonly object[];

/** What the key service is compared with; bare servers are started when they are needed. */
export class Pairs {
  /** To be stopped in the end. */
  readonly servers: Server[] = [];
  private readonly bare = new Map<BareRoute, Target>();

  private constructor(
    private readonly bed: Bed,
    private readonly ground: Ground & { token: string; answer: string },
    private readonly bodies: Record<'single' | 'missed' | 'batches', Bodies>,
  ) {}

  static async on(bed: Bed, ground: Ground): Promise<Pairs> {
    const token = await askingToken(bed);
    const all = ground.texts.map((key) => ({ key, scopes: ['reports:read'] }));
    const [missed, single] = [all.slice(0, MISSED_KEYS), all.slice(MISSED_KEYS)];
    const batches = Array.from({ length: Math.floor(single.length / BATCH) }, (_, i) => ({
      requests: single.slice(i * BATCH, (i + 1) * BATCH),
    }));
    const answer = await answerFromCache(ground.service, { token, body: single[0] });
    return new Pairs(bed, { ...ground, token, answer }, { missed, single, batches });
  }

  async verify(): Promise<Pair[]> {
    const { single } = this.bodies;
    const ours = this.ours('verify', single);
    const [script, theirs] = await Promise.all([
      this.against('script', single),
      this.against('static', single),
    ]);
    return [
      {
        ...{ name: 'verify / bare script', ours, theirs: script },
        ...{ goal: { atLeast: 0.85 }, isTimed: true },
      },
      { name: 'verify / bare static', ours, theirs, goal: {} },
    ];
  }

  async miss(): Promise<Pair[]> {
    const { missed } = this.bodies;
    const ours = { ...this.ours('verify, store miss', missed, FROM_STORE), expected: MISS };
    const theirs = await this.against('select', missed);
    return [{ name: 'store miss / bare select', ours, theirs, goal: { atLeast: 0.8 } }];
  }

  /** With it, what the bare pipeline brings by itself: whoever is measured against a slow one has it easy. */
  async batch(): Promise<Pair[]> {
    const { batches, single } = this.bodies;
    if (batches.length === 0) throw new Error(`A batch needs --keys ${BATCH} or more`);
    const pipeline = { ...(await this.against('pipeline', batches)), keysEach: BATCH };
    const script = await this.against('script', single);
    const ours = { ...this.ours('verify-batch', batches), keysEach: BATCH };
    return [
      { name: 'batch of 100 / bare pipeline', ours, theirs: pipeline, goal: { atLeast: 0.8 } },
      {
        ...{ name: 'bare pipeline / bare script', ours: pipeline, theirs: script },
        goal: { elsewhere: PIPELINE_ELSEWHERE },
      },
    ];
  }

  private ours(name: string, bodies: Bodies, headers = {}): Target {
    const { service, token } = this.ground;
    const path = bodies === this.bodies.batches ? '/v1/keys/verify-batch' : '/v1/keys/verify';
    const requests = bodies.map((body) => requestOf(path, { token, body, headers }));
    return { name, port: service.port, pids: [service.pid], expected: HIT, requests };
  }

  private async against(route: BareRoute, bodies: Bodies): Promise<Target> {
    const target = this.bare.get(route) ?? (await this.startBare(route, bodies));
    this.bare.set(route, target);
    return target;
  }

  /** @throws Error where it answers anything else than the key service does */
  private async startBare(route: BareRoute, bodies: Bodies): Promise<Target> {
    const { token, answer, runtimeUrl } = this.ground;
    const server = await startBare(this.bed, route, { runtimeUrl, answer });
    this.servers.push(server);
    const { text } = await ask(server, '/', { token, body: bodies[0] });
    const whole = JSON.stringify(
      bodies === this.bodies.batches
        ? { results: Array.from({ length: BATCH }, () => JSON.parse(answer) as unknown) }
        : JSON.parse(answer),
    );
    if (text !== whole)
      throw new Error(`${server.name} answers otherwise: ${text.slice(0, 1_000)}`);
    const requests = bodies.map((body) => requestOf('/', { token, body }));
    return { name: server.name, port: server.port, pids: [server.pid], expected: HIT, requests };
  }
}
