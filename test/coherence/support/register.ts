import type { Verdict } from '#contracts';
import type { Answer } from './http.js';
import { codeOf } from './world.js';

/** What a key may do at some time. */
export interface Rights {
  state: 'active' | 'disabled' | 'revoked';
  mayWrite: boolean;
  /** Number of the current secret; those before it have ended. */
  secret: number;
}

interface Write {
  rights: Rights;
  startedMs: number;
  /** When it was known to be done everywhere; infinity where it was not. */
  confirmedMs: number;
}

/** A question and what it was answered. */
export interface Read {
  startedMs: number;
  endedMs: number;
  replica: number;
  /** Number of the secret that was presented. */
  secret: number;
  code: string | number;
}

/**
 * The history of one key as a register: mutations write its rights, one at a time; verifications read them. A read that began
 * after a write was confirmed must not show anything older; one that began before it may show either.
 */
export class KeyRegister {
  private readonly writes: Write[];

  constructor(createdMs: number) {
    const rights: Rights = { state: 'active', mayWrite: true, secret: 1 };
    this.writes = [{ rights, startedMs: -Infinity, confirmedMs: createdMs }];
  }

  /** The rights after the last write that began. */
  get latest(): Rights {
    return this.writes.at(-1)!.rights;
  }

  /** A write that may be done any time from now on. @returns a function that says it is done everywhere at some time */
  begin(change: Partial<Rights>, startedMs: number): (confirmedMs: number) => void {
    const write = { rights: { ...this.latest, ...change }, startedMs, confirmedMs: Infinity };
    this.writes.push(write);
    return (confirmedMs) => (write.confirmedMs = confirmedMs);
  }

  /** The last write was not done after all. */
  undo(): void {
    this.writes.pop();
  }

  /** What a read must not have been answered, in words; null where its answer is right. 503 always is. */
  wrongIn(read: Read): string | null {
    if (read.code === 503) return null;
    const oldest = this.writes.findLastIndex((write) => write.confirmedMs < read.startedMs);
    const possible = this.writes
      .slice(Math.max(0, oldest))
      .filter((write) => write.startedMs <= read.endedMs)
      .map(({ rights }) => codeBy(rights, read.secret));
    if (possible.includes(String(read.code))) return null;
    const from = Math.round(read.startedMs);
    return `replica ${read.replica} answered ${read.code} to a question sent at ${from}, possible were ${possible.join()}: ${JSON.stringify(this.writes)}`;
  }
}

/** A verification as a read of the register. */
export function readOf(answer: Answer<Verdict>, replica: number, secret: number): Read {
  const { startedMs, endedMs } = answer;
  return { startedMs, endedMs, replica, secret, code: codeOf(answer) };
}

/** The code of a question that asks for the right to write. */
function codeBy({ state, mayWrite, secret }: Rights, presented: number): string {
  if (presented < secret - 1) return 'NOT_FOUND';
  if (state === 'revoked') return 'REVOKED';
  if (state === 'disabled') return 'DISABLED';
  if (presented < secret) return 'SUPERSEDED';
  return mayWrite ? 'VALID' : 'INSUFFICIENT_SCOPE';
}
