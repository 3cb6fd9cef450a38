import { randomUUID } from 'node:crypto';
import { takenUsage, type UsageBatch, type UsageEntry, type Verdict } from '#contracts';
import type { Answer } from './exchange.js';
import { bodyOf, type KeyService } from './key-service.js';

/** What the report works with. */
export interface UsageReportParts {
  keyService: KeyService;
  /** The key service's time in milliseconds since 1970. */
  theirNowMs: () => number;
  onFault: (error: Error) => void;
}

/** A row that counts, as long as the rows of this turn do. */
export interface Tally {
  row: UsageEntry;
  turn: number;
}

const PATH = '/v1/usage';
const EVERY_MS = 1_000;
const MINUTE_MS = 60_000;
const MOST_ENTRIES = 1_000;
/** Rows that are kept while they cannot be reported: about a hundred bytes each. */
const MOST_ROWS = 50_000;
const STOP_WITHIN_MS = 3_000;

/**
 * Counts what the guard decides by itself or is told, by key, secret, outcome and minute, and reports it every second. A batch whose
 * answer was lost is sent again under its number and counted once. What cannot be reported is kept up to a bound.
 */
export class UsageReport {
  private rows = new Map<string, UsageEntry>();
  private minute = '';
  private minuteEndsMs = -Infinity;
  private waiting: UsageEntry[] = [];
  private batch: UsageBatch | null = null;
  private timer: NodeJS.Timeout | undefined;
  private reporting: Promise<void> | null = null;
  private next: Promise<void> | null = null;
  private isStopped = false;
  private lost = 0;
  /** How often the rows were handed on. */
  private turns = 0;

  constructor(private readonly parts: UsageReportParts) {}

  start(): void {
    this.timer = setInterval(() => void this.flush(), EVERY_MS);
    this.timer.unref();
  }

  /**
   * Counts a verdict that names its key; others no report can hold.
   *
   * @param last where the last verdict on the same secret was counted: if it is the same row again, it need not be looked for
   * @returns where this one was
   */
  count(verdict: Verdict, nowMs: number, last: Tally | null = null): Tally | null {
    const isSame = last?.turn === this.turns && last.row.code === verdict.code;
    if (!isSame || nowMs >= this.minuteEndsMs) return this.countNew(verdict, nowMs);
    last.row.count += 1;
    return last;
  }

  /** Counts one more of what was counted at `last`, which is from now on where this one is. */
  again(last: Tally, verdict: Verdict, nowMs: number): void {
    if (last.turn === this.turns && nowMs < this.minuteEndsMs) last.row.count += 1;
    else Object.assign(last, this.countNew(verdict, nowMs));
  }

  private countNew({ keyId, secretNumber, rotation, code }: Verdict, nowMs: number): Tally | null {
    if (keyId === undefined) return null;
    if (nowMs >= this.minuteEndsMs) this.turn(nowMs);
    const superseded = rotation !== undefined;
    const name = `${keyId}${superseded ? '!' : ' '}${secretNumber} ${code}`;
    const known = this.rows.get(name);
    if (known !== undefined) known.count += 1;
    const { minute } = this;
    const row =
      known ?? this.add(name, { count: 1, keyId, secretNumber, superseded, code, minute });
    return row && { row, turn: this.turns };
  }

  /** Reports what there is; resolves when it is done or has failed. Who calls while a report is under way shares the one after it. */
  flush(): Promise<void> {
    if (this.reporting === null) {
      this.reporting = this.reportAll().finally(() => (this.reporting = null));
      return this.reporting;
    }
    this.next ??= this.reporting.finally(() => (this.next = null)).then(() => this.flush());
    return this.next;
  }

  /** Reports what is left, for three seconds at most; nothing is sent afterwards, whatever still hangs. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_WITHIN_MS);
    });
    await Promise.race([this.reportLeft(), timeUp]);
    clearTimeout(timer);
    this.isStopped = true;
    if (this.isLeft()) this.parts.onFault(new Error('Counts of usage could not be reported'));
  }

  private async reportLeft(): Promise<void> {
    await this.flush();
    while (this.isLeft() && !this.isStopped) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await this.flush();
    }
  }

  private isLeft(): boolean {
    return this.batch !== null || this.waiting.length > 0 || this.rows.size > 0;
  }

  private add(name: string, row: UsageEntry): UsageEntry | null {
    if (this.rows.size + this.waiting.length >= MOST_ROWS) {
      this.lost += row.count;
      return null;
    }
    this.rows.set(name, row);
    return row;
  }

  private turn(nowMs: number): void {
    this.cut();
    const theirsMs = this.parts.theirNowMs();
    const minuteMs = Math.floor(theirsMs / MINUTE_MS) * MINUTE_MS;
    this.minute = new Date(minuteMs).toISOString();
    this.minuteEndsMs = nowMs + minuteMs + MINUTE_MS - theirsMs;
  }

  private cut(): void {
    if (this.rows.size === 0) return;
    this.waiting.push(...this.rows.values());
    this.rows = new Map();
    this.turns += 1;
  }

  private async reportAll(): Promise<void> {
    this.cut();
    if (this.lost > 0) {
      this.parts.onFault(new Error(`${this.lost} checks could not be counted: too many keys`));
      this.lost = 0;
    }
    try {
      while (!this.isStopped) {
        this.batch ??= this.nextBatch();
        if (this.batch === null) return;
        await this.send(this.batch);
        this.batch = null;
      }
    } catch {
      // kept for the next time
    }
  }

  private nextBatch(): UsageBatch | null {
    const entries = this.waiting.splice(0, MOST_ENTRIES);
    return entries.length === 0 ? null : { batchId: randomUUID(), entries };
  }

  private async send(batch: UsageBatch): Promise<void> {
    const isTaken = await this.parts.keyService.report({
      path: PATH,
      body: JSON.stringify(batch),
      headers: {},
      read: readTaken,
    });
    if (!isTaken) this.parts.onFault(new Error('The key service refused a report of usage'));
  }
}

/** Whether a report was taken; one that is refused would be refused again. */
function readTaken(answer: Answer): boolean {
  if (answer.status >= 400 && answer.status < 500 && answer.status !== 401 && answer.status !== 429)
    return false;
  return takenUsage.safeParse(bodyOf(answer)).success;
}
