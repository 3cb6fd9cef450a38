import { boundedToken } from './bounded-token.js';
import { ConnectionBroken, TimeUp, type Answer } from './exchange.js';
import { reasonIn, type Faults } from './faults.js';
import { Hedging } from './hedging.js';
import { LastResort } from './last-resort.js';
import type { GuardSettings } from './options.js';
import { Replica } from './replica.js';
import { TokenUnavailable, type ServiceToken } from './service-token.js';
import { OddAnswer, OthersLeft, VerificationUnavailable } from './unavailable.js';

const REPORT_WITHIN_MS = 3_000;

/** A question to the key service, and what makes sense of an answer. */
export interface Ask<T> {
  path: string;
  body: string;
  headers: Record<string, string>;
  /** Not to be asked a second time only because it is late: it may have taken what it takes. */
  isOnce?: boolean;
  /** @throws OddAnswer where it is none */
  read: (answer: Answer) => T;
}

/**
 * The key service with all its replicas. A question goes to the replica that answered last; to the next one, too, when the
 * connection breaks, and within a budget of a tenth of all questions when the answer is odd or late. With one URL, behind
 * which may be a load balancer, that one is asked again. Before nobody decides, a replica is tried that failed too often to be
 * asked: it may be well again, and the others may have failed since.
 */
export class KeyService {
  readonly replicas: readonly Replica[];
  private readonly hedging: Hedging;
  private readonly lastResort = new LastResort(() => performance.now());
  private readonly token: ServiceToken;
  private preferred = 0;

  constructor(
    private readonly settings: GuardSettings,
    private readonly faults: Faults,
  ) {
    this.replicas = settings.urls.map((url) => new Replica(url, settings.ca));
    this.hedging = new Hedging(settings.timeoutMs);
    const bound = { withinMs: 2 * settings.timeoutMs, isBackground: false };
    this.token = boundedToken(settings.token, bound);
  }

  /** @throws VerificationUnavailable when no replica gives an answer that can be read, within thrice the timeout */
  ask<T>(ask: Ask<T>): Promise<T> {
    this.hedging.noteQuestion();
    return new Promise((resolve, giveUp) => {
      const reject = (error: VerificationUnavailable): void => {
        this.faults.tell(error.cause instanceof Error ? error.cause : error);
        giveUp(error);
      };
      new Tries(this.parts(), ask, { resolve, reject }).next();
    });
  }

  /** Tells the key service something that nobody waits for: one try, which says nothing of how fast it decides. */
  async report<T>({ path, body, headers, read }: Ask<T>): Promise<T> {
    const replica = this.pick([]) ?? this.replicas[this.preferred]!;
    const call = { path, body, headers, timeoutMs: REPORT_WITHIN_MS };
    return read(await replica.post(call, this.token));
  }

  /** The next replica that may be asked, none of `asked` if possible. */
  pick(asked: readonly Replica[]): Replica | null {
    const count = this.replicas.length;
    const inOrder = this.replicas.map((_, i) => this.replicas[(this.preferred + i) % count]!);
    const able = inOrder.filter((one) => one.breaker.mayAsk());
    return able.find((one) => !asked.includes(one)) ?? able[0] ?? null;
  }

  /** The replica none of `asked` whose pause ends first, null where there is none or it was tried often enough. */
  pickPaused(asked: readonly Replica[]): Replica | null {
    const paused = this.replicas.filter((one) => !asked.includes(one) && !one.breaker.mayAsk());
    const [first = null] = paused.toSorted(
      (a, b) => a.breaker.pauseEndsAtMs - b.breaker.pauseEndsAtMs,
    );
    return first !== null && this.lastResort.take() ? first : null;
  }

  close(): void {
    for (const one of this.replicas) one.close();
  }

  private parts(): TryParts {
    return {
      hedging: this.hedging,
      timeoutMs: this.settings.timeoutMs,
      mostTries: Math.max(2, this.replicas.length),
      token: this.token,
      pick: (asked) => this.pick(asked),
      pickPaused: (asked) => this.pickPaused(asked),
      prefer: (replica) => (this.preferred = this.replicas.indexOf(replica)),
    };
  }
}

interface TryParts {
  hedging: Hedging;
  timeoutMs: number;
  mostTries: number;
  token: ServiceToken;
  pick: (asked: readonly Replica[]) => Replica | null;
  pickPaused: (asked: readonly Replica[]) => Replica | null;
  prefer: (replica: Replica) => void;
}

interface Settle<T> {
  resolve: (value: T) => void;
  reject: (error: VerificationUnavailable) => void;
}

/** All tries of one question. */
class Tries<T> {
  private readonly asked: Replica[] = [];
  private readonly endsAtMs: number;
  private underWay = 0;
  private isSettled = false;
  private hedge: NodeJS.Timeout | undefined;

  constructor(
    private readonly parts: TryParts,
    private readonly question: Ask<T>,
    private readonly settle: Settle<T>,
  ) {
    this.endsAtMs = performance.now() + 3 * parts.timeoutMs - 50;
  }

  /** Asks one more replica. */
  next(): void {
    const replica = this.nextOf(this.parts.pick(this.asked));
    // looked at once: a pause that ends only now was no replica left
    if (replica === null) return this.giveUp(new Error('No replica may be asked now'), false);
    this.askNext(replica);
  }

  private askNext(replica: Replica): void {
    this.asked.push(replica);
    if (this.asked.length === 1 && this.question.isOnce !== true) {
      const again = () => this.mayAskAgain() && this.parts.hedging.take() && this.hedgeNow();
      this.hedge = setTimeout(again, this.parts.hedging.afterMs);
    }
    void this.ask(replica);
  }

  /** What answers late is asked once more, but no replica that is left alone. */
  private hedgeNow(): void {
    const replica = this.parts.pick(this.asked);
    if (replica !== null) this.askNext(replica);
  }

  /** The one that is picked, unless it was asked and another one can be tried as a last resort. */
  private nextOf(picked: Replica | null): Replica | null {
    if (picked !== null && !this.asked.includes(picked)) return picked;
    return this.parts.pickPaused(this.asked) ?? picked;
  }

  private async ask(replica: Replica): Promise<void> {
    const { hedging, timeoutMs, token, prefer } = this.parts;
    const startedMs = performance.now();
    const { path, body, headers, read } = this.question;
    const call = { path, body, headers, timeoutMs: Math.min(timeoutMs, this.endsAtMs - startedMs) };
    this.underWay += 1;
    replica.breaker.begin();
    try {
      const value = read(await replica.post(call, token));
      replica.breaker.succeed();
      hedging.noteAnswer(performance.now() - startedMs);
      if (this.isSettled) return;
      this.end();
      prefer(replica);
      this.settle.resolve(value);
    } catch (error) {
      if (error instanceof TokenUnavailable) replica.breaker.release();
      else replica.breaker.fail();
      this.underWay -= 1;
      this.afterFault(error);
    }
  }

  private afterFault(error: unknown): void {
    if (this.isSettled) return;
    const isHelpless = error instanceof TokenUnavailable || !this.mayAskAgain();
    const replica = isHelpless ? null : this.nextAfter(error);
    if (replica !== null) return this.askNext(replica);
    if (this.underWay === 0) this.giveUp(error);
  }

  /** Who is asked after a fault: where the answer is odd or late only one who was not. */
  private nextAfter(error: unknown): Replica | null {
    const { pick, pickPaused, hedging } = this.parts;
    // a connection breaks before the question is read, but for the moment in which a replica dies
    if (error instanceof ConnectionBroken) return this.nextOf(pick(this.asked));
    if (error instanceof TimeUp && this.question.isOnce === true) return null;
    const other = this.nextOther();
    if (other === null) return pickPaused(this.asked);
    return hedging.take() ? other : null;
  }

  /** A replica that was not asked and may be. */
  private nextOther(): Replica | null {
    const other = this.parts.pick(this.asked);
    return other !== null && !this.asked.includes(other) ? other : null;
  }

  private mayAskAgain(): boolean {
    const { mostTries } = this.parts;
    return !this.isSettled && this.asked.length < mostTries && performance.now() < this.endsAtMs;
  }

  private giveUp(cause: unknown, isOtherLeft = this.nextOther() !== null): void {
    if (this.underWay > 0) return;
    this.end();
    const Unavailable = isOtherLeft ? OthersLeft : VerificationUnavailable;
    this.settle.reject(new Unavailable('The key service gives no verdict', { cause }));
  }

  private end(): void {
    this.isSettled = true;
    clearTimeout(this.hedge);
  }
}

/** The body of a good answer. @throws OddAnswer for any other */
export function bodyOf({ status, body }: Answer): unknown {
  if (status === 200) return body;
  throw new OddAnswer(`The key service answered ${status} without a verdict${reasonIn(body)}`);
}
