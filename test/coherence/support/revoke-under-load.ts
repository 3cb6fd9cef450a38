import type { IssuedKey } from '#contracts';
import { DOORS, INACTIVE } from './doors.js';
import { codeOf, sleep, type World } from './world.js';

/** What was found while keys were revoked under load. Times in milliseconds. */
export interface RevokeFigures {
  revokes: number;
  confirmed: number;
  /** Verifications altogether, and those of a key that started after its revoke had returned. */
  verifications: number;
  asked: number;
  /** Of those, the ones by which the key was alive: VALID, or refused for a limit only. */
  stale: number;
  /** Answers that refused a key for its limits. */
  limited: number;
  /** Answers that refused a live key, or were neither a verdict nor 503. */
  wrong: number;
  /** Answers 503: nobody could decide in time, as on a machine that is too busy. */
  unavailable: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  seconds: number;
  /** Verifications. */
  perSecond: number;
}

interface Subject extends IssuedKey {
  /** When its revoke had returned, confirmed. */
  deadMs: number;
  isBeingRevoked: boolean;
}

/** How much is to be done. */
export interface RevokeLoad {
  /** How many revocations are to be confirmed. */
  revokes: number;
  validators: number;
  /** How many keys are revoked at a time; one if it is left out. */
  revokers?: number;
  /** Whether it may end when so many are confirmed; without it, it may. */
  isOver?: () => boolean;
  /** Each revoke waits for it, while nothing else that changes anything is under way. */
  mayRevoke?: () => Promise<void>;
  /** Is told of each confirmed one. */
  onConfirmed?: () => void;
  /** Is told every ten seconds how far it is. */
  onProgress?: (line: string) => void;
}

/** Keys that are asked about at a time: half of them dead, half of them next. */
const WINDOW = 64;
/** What the keys may be limited by, by turn: so little that some are refused for it. */
const KINDS: readonly Record<string, unknown>[] = [
  {},
  { rateLimits: [{ name: 'own', limit: 3, windowSeconds: 1 }] },
  { rateLimits: [{ name: 'all', limit: 50, windowSeconds: 1, sharedBy: 'consumer' }] },
  { quota: { limit: 3 } },
];
/** What says that a key is alive. */
const ALIVE: readonly unknown[] = ['VALID', 'RATE_LIMITED', 'QUOTA_EXCEEDED'];
/** What may be said of one that is revoked. */
const DEAD: readonly unknown[] = ['REVOKED', INACTIVE];
/** Few enough at a time that none has to wait for a connection for too long. */
const BATCH = 10;

/**
 * Revokes keys while validators ask all replicas about those around them, until so many revocations were confirmed. However
 * long that takes: how busy the machine is shows in the figures only.
 */
export async function revokeUnderLoad(world: World, load: RevokeLoad): Promise<RevokeFigures> {
  const run = new RevokeRun(world, load);
  const telling = setInterval(() => load.onProgress?.(run.progress), 10_000);
  try {
    return await run.run();
  } finally {
    clearInterval(telling);
  }
}

class RevokeRun {
  private readonly subjects: Subject[] = [];
  private readonly figures = {
    ...{ revokes: 0, confirmed: 0, verifications: 0, asked: 0, stale: 0, wrong: 0 },
    ...{ unavailable: 0, limited: 0 },
  };
  private readonly tookMs: number[] = [];
  private next = 0;
  private isDone = false;
  private making: Promise<void> | null = null;

  constructor(
    private readonly world: World,
    private readonly load: RevokeLoad,
  ) {}

  get progress(): string {
    const { confirmed, verifications, stale } = this.figures;
    return `${confirmed} of ${this.load.revokes} revoked, ${verifications} verifications, ${stale} stale`;
  }

  async run(): Promise<RevokeFigures> {
    const { validators, revokers = 1 } = this.load;
    while (this.subjects.length < WINDOW) await this.make();
    const validating = Array.from({ length: validators }, (_, number) => this.validate(number));
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: revokers }, () => this.revokeAll()));
    const seconds = (performance.now() - startedMs) / 1_000;
    await sleep(500);
    this.isDone = true;
    await Promise.all(validating);
    const perSecond = Math.round(this.figures.verifications / seconds);
    return { ...this.figures, ...spreadOf(this.tookMs), seconds: Math.round(seconds), perSecond };
  }

  private async revokeAll(): Promise<void> {
    const { revokes, isOver = () => true } = this.load;
    while (this.figures.confirmed < revokes || !isOver()) {
      await this.making;
      await this.load.mayRevoke?.();
      const place = this.next;
      this.next += 1;
      while (place >= this.subjects.length) await this.make();
      if (place + WINDOW > this.subjects.length) void this.make();
      await this.revoke(this.subjects[place]!, place % 3);
    }
  }

  /** Sends it again where the answer is 503, as clients do. */
  private async revoke(subject: Subject, replica: number): Promise<void> {
    subject.isBeingRevoked = true;
    this.figures.revokes += 1;
    for (;;) {
      const answer = await this.world.revoke(replica, subject.key.id);
      this.tookMs.push(answer.endedMs - answer.startedMs);
      if (answer.status === 503) {
        await sleep(200);
        continue;
      }
      if (answer.status !== 200) throw new Error(`A revoke was answered ${answer.status}`);
      if (answer.body.propagation?.confirmed !== true) return;
      subject.deadMs = answer.endedMs;
      this.figures.confirmed += 1;
      this.load.onConfirmed?.();
      return;
    }
  }

  /** Some more keys; those who ask at the same time wait for the same. */
  private make(): Promise<void> {
    this.making ??= this.makeSome().finally(() => (this.making = null));
    return this.making;
  }

  private async makeSome(): Promise<void> {
    const made = await Promise.allSettled(
      Array.from({ length: BATCH }, (_, i) => this.world.issue(KINDS[i % KINDS.length], i % 3)),
    );
    const issued = made.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    if (issued.length === 0) await sleep(200);
    this.subjects.push(
      ...issued.map((one) => ({ ...one, deadMs: Infinity, isBeingRevoked: false })),
    );
  }

  private async validate(number: number): Promise<void> {
    for (let turn = number; !this.isDone; turn += 1) {
      const subject = this.subjects[pickAround(this.next, this.subjects.length)]!;
      const { isBeingRevoked } = subject;
      // a validator's door changes with each round over the replicas
      const door = DOORS[(number + Math.floor(turn / 3)) % DOORS.length]!;
      const answer = await this.world.ask(door, turn % 3, subject.secret);
      this.note(codeOf(answer), {
        isAfter: answer.startedMs > subject.deadMs,
        isBefore: !isBeingRevoked && !subject.isBeingRevoked,
      });
    }
  }

  /** @param when whether it was asked after the revoke had returned, and answered before it was sent */
  private note(
    code: string | number,
    { isAfter, isBefore }: { isAfter: boolean; isBefore: boolean },
  ): void {
    const { figures } = this;
    figures.verifications += 1;
    if (isAfter) figures.asked += 1;
    if (isAfter && ALIVE.includes(code)) figures.stale += 1;
    if (code === 503) figures.unavailable += 1;
    if (ALIVE.includes(code) && code !== 'VALID') figures.limited += 1;
    const isMissing = ![...ALIVE, ...DEAD, 503].includes(code);
    if (isMissing || (DEAD.includes(code) && isBefore)) figures.wrong += 1;
  }
}

function pickAround(next: number, count: number): number {
  const place = next - WINDOW / 2 + Math.floor(Math.random() * WINDOW);
  return Math.max(0, Math.min(count - 1, place));
}

function spreadOf(tookMs: number[]): { p50Ms: number; p99Ms: number; maxMs: number } {
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (share: number) =>
    Math.round((sorted[Math.ceil(sorted.length * share) - 1] ?? 0) * 10) / 10;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}
