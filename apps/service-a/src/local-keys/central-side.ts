import {
  importMode,
  migrationState,
  takenParity,
  traceHeaders,
  type Environment,
  type ImportMode,
  type Verdict,
} from '#contracts';
import { readVerdict, type KeyQuestion, type ServiceToken } from '#key-guard';
import { ProblemException } from '#server';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Upstream, UpstreamCall } from '../upstream.js';
import { againAndAgain, type Repetition } from './again-and-again.js';
import { Outage } from './outage.js';
import { ParityReport } from './parity-report.js';

const POLL_MS = 500;
const REPORT_MS = 1_000;
/** How long a start tries to learn the mode, and the pause between tries. */
const FIRST_MS = 4_000;
const FIRST_PAUSE_MS = 200;
/** Not every replica of the key service moves at the same moment. */
const SETTLED_MS = 3_000;
/** Most dry runs at the same time; beyond it requests are not compared. */
const MAX_DRY = 64;

/** Which side counts; `unknown` where the key service has not said so, or said it too long ago. */
export type Side = ImportMode | null | 'unknown';

/** What the key service is asked about a key of the environment that this service is of. */
export interface CentralQuestion extends KeyQuestion {
  environment: Environment;
}

/** What the key service is asked with. */
export interface CentralParts {
  keyService: Upstream;
  /** The same for verdicts that nobody else can give: with more patience. */
  alone: Upstream;
  token: ServiceToken;
  /** How long what it said last goes on while it does not answer, in milliseconds. */
  graceMs: number;
}

/** The key service as this service needs it while keys move from one side to the other. Its times are of a clock that nobody sets. */
export class CentralSide {
  private heard: { mode: ImportMode | null; atMs: number } | null = null;
  private movedAtMs = -Infinity;
  private dryRuns = 0;
  private readonly silence = new Outage();
  private readonly report: ParityReport;
  private repeated: Repetition[] = [];

  constructor(private readonly parts: CentralParts) {
    this.report = new ParityReport((body) =>
      this.call({ method: 'POST', path: '/v1/migration/parity', headers: {}, body }, takenParity),
    );
  }

  /** Which side counts. What was heard last holds for the grace. */
  get mode(): Side {
    const { heard } = this;
    const isFresh = heard !== null && performance.now() - heard.atMs <= this.parts.graceMs;
    return isFresh ? heard.mode : 'unknown';
  }

  /** Whether the mode is so old that every replica of the key service goes by it. */
  get isSettled(): boolean {
    return performance.now() - this.movedAtMs > SETTLED_MS;
  }

  /** Whether the key service has given verdicts within the grace: what it refuses alone was refused until then. */
  get isWithinGrace(): boolean {
    return this.silence.lastsMs(performance.now()) <= this.parts.graceMs;
  }

  /** Begins to follow the mode and to report; tries for a while before it returns, as nothing is decided without. */
  async start(): Promise<void> {
    const endMs = performance.now() + FIRST_MS;
    await this.readMode();
    while (this.heard === null && performance.now() < endMs) {
      await sleep(FIRST_PAUSE_MS);
      await this.readMode();
    }
    this.repeated = [
      againAndAgain(() => this.readMode(), POLL_MS),
      againAndAgain(() => this.report.flush(), REPORT_MS),
    ];
  }

  async stop(): Promise<void> {
    await Promise.all(this.repeated.map((one) => one.stop()));
    await this.report.flush();
  }

  /**
   * What the key service decides, read as strictly as a guard reads it.
   *
   * @param isAlone whether nobody else can decide, so that waiting for a slow answer is better than none
   * @throws ProblemException where it does not, OddAnswer where what it says cannot be a decision
   */
  async verify(question: CentralQuestion, isAlone = false): Promise<Verdict> {
    const begunMs = performance.now();
    const { keyService, alone } = this.parts;
    try {
      const decided = await this.ask(question, isAlone ? alone : keyService);
      this.silence.ended();
      return decided;
    } catch (error) {
      this.silence.failed(begunMs);
      throw error;
    }
  }

  /** Asks for a dry run, for which nobody waits, and counts what both sides said. */
  compareLater(old: Verdict, question: CentralQuestion): void {
    if (this.dryRuns >= MAX_DRY) return;
    this.dryRuns += 1;
    this.ask({ ...question, dryRun: true })
      .then(
        (central) => this.compare(old, central),
        () => undefined,
      )
      .finally(() => (this.dryRuns -= 1));
  }

  /** Counts what both sides said; reported within a second. */
  compare(old: Verdict, central: Verdict): void {
    this.report.add(old, central);
  }

  private async readMode(): Promise<void> {
    const atMs = performance.now();
    const call = { method: 'GET', path: '/v1/migration', headers: {} } as const;
    const state = await this.call(call, migrationState).catch(() => null);
    if (state === null) return;
    const mode = state.mode && importMode.parse(state.mode);
    if (this.heard !== null && this.heard.mode !== mode) this.movedAtMs = performance.now();
    this.heard = { mode, atMs };
  }

  private async ask(
    question: CentralQuestion & { dryRun?: boolean },
    whom = this.parts.keyService,
  ): Promise<Verdict> {
    const { from, ...body } = question;
    const headers = from === undefined ? {} : traceHeaders(from);
    const call = { method: 'POST', path: '/v1/keys/verify', headers, body } as const;
    const answer = await this.call(call, z.unknown(), whom);
    return readVerdict(answer, { question, permits: null, environment: question.environment });
  }

  /** A token that is refused is replaced once. */
  private async call<S extends z.ZodType>(
    call: UpstreamCall,
    schema: S,
    whom = this.parts.keyService,
  ): Promise<z.output<S>> {
    const { token } = this.parts;
    const callAs = async (own: string) => {
      const headers = { ...call.headers, authorization: `Bearer ${own}` };
      return (await whom.call({ ...call, headers }, schema)).data;
    };
    const own = await token();
    try {
      return await callAs(own);
    } catch (error) {
      if (!(error instanceof ProblemException) || error.getStatus() !== 401) throw error;
      return callAs(await token(own));
    }
  }
}
