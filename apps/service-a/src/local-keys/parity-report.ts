import { randomUUID } from 'node:crypto';
import type { ParityBatch, Verdict } from '#contracts';

const MAX_PAIRS = 1_000;

type Entry = ParityBatch['entries'][number];

/** What both sides said, counted until it is reported. */
export class ParityReport {
  private readonly pairs = new Map<string, Entry>();
  private unsent: ParityBatch | null = null;

  /** @param send rejects where the batch was not taken for certain */
  constructor(private readonly send: (batch: ParityBatch) => Promise<unknown>) {}

  /** Counts one request. Beyond a thousand different pairs before the next report none is added. */
  add(old: Verdict, central: Verdict): void {
    const keyId = old.keyId ?? central.keyId ?? null;
    const name = `${keyId} ${old.code} ${central.code}`;
    const known = this.pairs.get(name);
    if (known !== undefined) known.count += 1;
    else if (this.pairs.size < MAX_PAIRS)
      this.pairs.set(name, { keyId, oldCode: old.code, centralCode: central.code, count: 1 });
  }

  /** Reports; a batch that was not taken for certain is sent again as it was, with the next call. */
  async flush(): Promise<void> {
    if (this.unsent === null && this.pairs.size > 0) {
      this.unsent = { batchId: randomUUID(), entries: [...this.pairs.values()] };
      this.pairs.clear();
    }
    if (this.unsent === null) return;
    const isTaken = await this.send(this.unsent).then(
      () => true,
      () => false,
    );
    if (isTaken) this.unsent = null;
  }
}
