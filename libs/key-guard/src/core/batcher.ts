import { traceHeaders, type Verdict, type VerifyBody } from '#contracts';
import type { FreeKeys } from './free-keys.js';
import { bodyOf, type KeyService } from './key-service.js';
import type { GuardSettings } from './options.js';
import { bodyOfQuestion, type Answered, type OpenQuestion } from './question.js';
import { readVerdict, type Asked } from './read-verdict.js';
import { OddAnswer, VerificationUnavailable } from './unavailable.js';

const PATH = '/v1/keys/verify';
const BATCH_PATH = '/v1/keys/verify-batch';
const MOST = 100;
/** Bytes of a batch; the key service takes 64 KiB. */
const MOST_BYTES = 48 * 1024;

interface Waiting extends OpenQuestion {
  resolve: (answered: Answered) => void;
  reject: (error: unknown) => void;
}

interface Sent {
  waiting: Waiting;
  body: VerifyBody;
}

/**
 * Sends questions. Those that come in one turn of the event loop go together, at most 100 in one `verify-batch`; each gets the
 * answer that it would have got alone. Nobody joins a question that is already sent.
 */
export class Batcher {
  private waiting: Waiting[] = [];

  constructor(
    private readonly keyService: KeyService,
    private readonly own: Pick<GuardSettings, 'service' | 'environment'>,
    private readonly free: FreeKeys,
  ) {}

  /** @throws VerificationUnavailable */
  ask(question: OpenQuestion): Promise<Answered> {
    return new Promise((resolve, reject) => {
      if (this.waiting.length === 0) setImmediate(() => this.send());
      this.waiting.push({ ...question, resolve, reject });
    });
  }

  private send(): void {
    const sent = this.waiting.map((waiting) => ({
      waiting,
      body: bodyOfQuestion(waiting, this.own),
    }));
    this.waiting = [];
    for (const batch of batchesOf(sent)) {
      if (batch.length === 1) void this.sendOne(batch[0]!);
      else void this.sendBatch(batch);
    }
  }

  private async sendOne({ waiting, body }: Sent): Promise<void> {
    const sentAtMs = performance.now();
    const { from } = waiting.question;
    const ask = {
      path: PATH,
      body: JSON.stringify(body),
      headers: from === undefined ? {} : traceHeaders(from),
      isOnce: this.isOnce(waiting),
      read: (answer: Parameters<typeof bodyOf>[0]) =>
        readVerdict(bodyOf(answer), this.asked(waiting)),
    };
    await this.keyService.ask(ask).then(
      (verdict) => this.tell(waiting, verdict, sentAtMs),
      (error: unknown) => waiting.reject(error),
    );
  }

  private async sendBatch(batch: Sent[]): Promise<void> {
    const sentAtMs = performance.now();
    const requests = batch.map((one) => one.body);
    const ask = {
      path: BATCH_PATH,
      body: JSON.stringify({ requests, partial: true }),
      headers: {},
      isOnce: batch.some(({ waiting }) => this.isOnce(waiting)),
      // one question that is not well-formed must not be the others' end
      read: (answer: Parameters<typeof bodyOf>[0]) =>
        answer.status === 400 ? null : this.readBatch(bodyOf(answer), batch),
    };
    const verdicts = await this.keyService.ask(ask).catch((error: unknown) => {
      for (const { waiting } of batch) waiting.reject(error);
      return [];
    });
    if (verdicts === null) for (const one of batch) void this.sendOne(one);
    else verdicts.forEach((verdict, i) => this.tell(batch[i]!.waiting, verdict, sentAtMs));
  }

  /** What a batch was answered, place by place. @throws OddAnswer where it cannot be told apart */
  private readBatch(body: unknown, batch: readonly Sent[]): (Verdict | OddAnswer | null)[] {
    const results = (body as { results?: unknown } | null | undefined)?.results;
    if (!Array.isArray(results) || results.length !== batch.length)
      throw new OddAnswer('The key service answered a batch with what is none');
    return results.map((one: unknown, i) => {
      if (one === null) return null;
      try {
        return readVerdict(one, this.asked(batch[i]!.waiting));
      } catch (error) {
        if (error instanceof OddAnswer) return error;
        throw error;
      }
    });
  }

  private tell(waiting: Waiting, verdict: Verdict | OddAnswer | null, sentAtMs: number): void {
    if (verdict !== null && !(verdict instanceof OddAnswer)) {
      this.free.learn(waiting.question.key, verdict);
      return waiting.resolve({ verdict, sentAtMs });
    }
    const message = 'The key service gives no verdict on this key';
    waiting.reject(new VerificationUnavailable(message, { cause: verdict }));
  }

  private isOnce({ question }: Waiting): boolean {
    return !this.free.has(question.key);
  }

  private asked({ question, permits }: Waiting): Asked {
    return { question, permits, environment: this.own.environment };
  }
}

function batchesOf(sent: readonly Sent[]): Sent[][] {
  const batches: Sent[][] = [];
  let bytes = Infinity;
  for (const one of sent) {
    const size = Buffer.byteLength(JSON.stringify(one.body)) + 1;
    const last = batches.at(-1);
    if (last === undefined || last.length >= MOST || bytes + size > MOST_BYTES) {
      batches.push([one]);
      bytes = size;
    } else {
      last.push(one);
      bytes += size;
    }
  }
  return batches;
}
