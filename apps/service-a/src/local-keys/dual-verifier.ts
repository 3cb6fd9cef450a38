import type { Verdict } from '#contracts';
import { VerificationUnavailable, type KeyQuestion } from '#key-guard';
import type { CentralSide } from './central-side.js';
import type { LocalVerifier } from './local-verifier.js';

/**
 * Decides while keys move from this service's own store to the key service, or back. Which side counts is the import's mode there:
 *
 * - `shadow`, or no import yet: this service's own; the key service is asked for a dry run beside it, and waited for by nobody
 * - `dual`: both; a key that only one side knows is decided on by that side, of one that both know either side's refusal holds.
 *   Where one side cannot decide the other does, as far as it knows the key
 * - `cutover`: the key service alone
 */
export class DualVerifier {
  constructor(
    private readonly local: LocalVerifier,
    private readonly central: CentralSide,
  ) {}

  async verify(question: KeyQuestion): Promise<Verdict> {
    switch (this.central.mode) {
      case 'unknown':
        throw new VerificationUnavailable('The key service has not said yet which side counts');
      case 'cutover':
        return this.ask(question);
      case 'dual':
        return this.both(question);
      default:
        return this.shadow(question);
    }
  }

  private async shadow(question: KeyQuestion): Promise<Verdict> {
    const old = await this.askLocal(question);
    if (this.central.mode === null) return old;
    this.central.verify(question, true).then(
      (central) => this.central.compare(old, central),
      () => undefined,
    );
    return old;
  }

  private async both(question: KeyQuestion): Promise<Verdict> {
    const [old, central] = await Promise.allSettled([this.askLocal(question), this.ask(question)]);
    if (old.status === 'rejected') return known(central, old.reason);
    if (central.status === 'rejected') return known(old, central.reason);
    this.central.compare(old.value, central.value);
    return combined(old.value, central.value);
  }

  private ask(question: KeyQuestion): Promise<Verdict> {
    return this.central.verify(question, false).catch((cause: unknown) => {
      throw new VerificationUnavailable('The key service gives no verdict', { cause });
    });
  }

  private askLocal(question: KeyQuestion): Promise<Verdict> {
    return this.local.verify(question).catch((cause: unknown) => {
      throw new VerificationUnavailable('The own store does not answer', { cause });
    });
  }
}

/** What both sides together say. */
export function combined(old: Verdict, central: Verdict): Verdict {
  if (!isKnown(old)) return central;
  if (!isKnown(central)) return old;
  return old.valid ? central : old;
}

/** Whether a side knows the key that was presented. */
function isKnown({ code }: Verdict): boolean {
  return code !== 'NOT_FOUND' && code !== 'MALFORMED';
}

/** The one verdict there is, where it is about a key; an unknown one may be known to the other side. */
function known(one: PromiseSettledResult<Verdict>, reason: unknown): Verdict {
  if (one.status === 'fulfilled' && isKnown(one.value)) return one.value;
  throw reason;
}
