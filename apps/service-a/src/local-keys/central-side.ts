import { randomUUID } from 'node:crypto';
import {
  importMode,
  migrationState,
  takenParity,
  traceHeaders,
  verdict,
  type ImportMode,
  type ParityBatch,
  type Verdict,
} from '#contracts';
import type { KeyQuestion, ServiceToken } from '#key-guard';
import type { z } from 'zod';
import type { Upstream, UpstreamCall } from '../upstream.js';

const POLL_MS = 500;
const REPORT_MS = 1_000;
const MAX_PAIRS = 1_000;

type Entry = ParityBatch['entries'][number];

/** The key service as this service needs it while keys move from one side to the other. */
export class CentralSide {
  /** Which side counts, as last heard; `unknown` before the key service has answered once. */
  mode: ImportMode | null | 'unknown' = 'unknown';
  private readonly pairs = new Map<string, Entry>();
  private unsent: ParityBatch | null = null;
  private readonly timers: NodeJS.Timeout[] = [];

  constructor(
    private readonly keyService: Upstream,
    private readonly token: ServiceToken,
  ) {}

  /** Begins to follow the mode and to report; tries once before it returns. */
  async start(): Promise<void> {
    await this.readMode();
    this.timers.push(setInterval(() => void this.readMode(), POLL_MS));
    this.timers.push(setInterval(() => void this.report(), REPORT_MS));
    for (const timer of this.timers) timer.unref();
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.report();
  }

  /** What the key service decides. @throws ProblemException where it does not */
  async verify({ from, ...question }: KeyQuestion, isDry: boolean): Promise<Verdict> {
    const body = isDry ? { ...question, dryRun: true } : question;
    const headers = from === undefined ? {} : traceHeaders(from);
    return this.call({ method: 'POST', path: '/v1/keys/verify', headers, body }, verdict);
  }

  /** Counts what both sides said; reported within a second. Beyond a thousand different pairs a second none is added. */
  compare(old: Verdict, central: Verdict): void {
    const keyId = old.keyId ?? central.keyId ?? null;
    const name = `${keyId} ${old.code} ${central.code}`;
    const known = this.pairs.get(name);
    if (known !== undefined) known.count += 1;
    else if (this.pairs.size < MAX_PAIRS)
      this.pairs.set(name, { keyId, oldCode: old.code, centralCode: central.code, count: 1 });
  }

  private async readMode(): Promise<void> {
    const call = { method: 'GET', path: '/v1/migration', headers: {} } as const;
    const state = await this.call(call, migrationState).catch(() => null);
    if (state !== null) this.mode = state.mode && importMode.parse(state.mode);
  }

  /** A batch that was not taken for certain is sent again as it was. */
  private async report(): Promise<void> {
    if (this.unsent === null && this.pairs.size > 0) {
      this.unsent = { batchId: randomUUID(), entries: [...this.pairs.values()] };
      this.pairs.clear();
    }
    if (this.unsent === null) return;
    const call = {
      method: 'POST',
      path: '/v1/migration/parity',
      headers: {},
      body: this.unsent,
    } as const;
    const taken = await this.call(call, takenParity).catch(() => null);
    if (taken !== null) this.unsent = null;
  }

  private async call<S extends z.ZodType>(call: UpstreamCall, schema: S): Promise<z.output<S>> {
    const authorization = `Bearer ${await this.token()}`;
    const headers = { ...call.headers, authorization };
    return (await this.keyService.call({ ...call, headers }, schema)).data;
  }
}
