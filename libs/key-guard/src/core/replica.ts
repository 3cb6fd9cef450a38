import { Agent as PlainAgent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { Breaker } from './breaker.js';
import { exchange, type Answer } from './exchange.js';
import type { ServiceToken } from './service-token.js';

/** One call to a replica of the key service. */
export interface ReplicaCall {
  path: string;
  body: string;
  headers: Record<string, string>;
  timeoutMs: number;
}

/** What is known of a replica, and its connections. */
export class Replica {
  readonly breaker: Breaker;
  readonly base: string;
  private readonly agent: PlainAgent;

  constructor(
    url: string,
    private readonly ca: string | undefined,
  ) {
    this.base = url.replace(/\/+$/, '');
    const keeping = { keepAlive: true, maxFreeSockets: 64, scheduling: 'lifo' } as const;
    this.agent = url.startsWith('https:') ? new TlsAgent(keeping) : new PlainAgent(keeping);
    this.breaker = new Breaker({ nowMs: () => performance.now(), random: Math.random });
  }

  /**
   * Posts as the service; with another token once where the one at hand is refused, as login may have changed its keys.
   *
   * @throws ConnectionBroken, TimeUp, TokenUnavailable
   */
  async post(call: ReplicaCall, token: ServiceToken): Promise<Answer> {
    const endsAtMs = performance.now() + call.timeoutMs;
    const bearer = await token();
    const answer = await this.send(call, bearer, endsAtMs);
    if (answer.status !== 401) return answer;
    const fresh = await token(bearer);
    return fresh === bearer ? answer : this.send(call, fresh, endsAtMs);
  }

  close(): void {
    this.agent.destroy();
  }

  private send(call: ReplicaCall, bearer: string, endsAtMs: number): Promise<Answer> {
    return exchange({
      url: new URL(`${this.base}${call.path}`),
      headers: {
        ...call.headers,
        authorization: `Bearer ${bearer}`,
        'content-type': 'application/json',
      },
      body: call.body,
      timeoutMs: endsAtMs - performance.now(),
      agent: this.agent,
      ca: this.ca,
    });
  }
}
