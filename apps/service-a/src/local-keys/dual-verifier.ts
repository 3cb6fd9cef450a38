import type { Verdict } from '#contracts';
import { OddAnswer, VerificationUnavailable } from '#key-guard';
import type { CentralQuestion, CentralSide } from './central-side.js';
import type { LocalVerifier, OwnVerdict } from './local-verifier.js';

/**
 * Decides while keys move from this service's own store to the key service, or back. Which side counts is the import's mode there:
 *
 * - `shadow`, or no import yet: this service's own; the key service is asked for a dry run beside it, and waited for by nobody
 * - `dual`: both. A key that only one side ever had is decided on by that side; of one that both have either's refusal holds, also
 *   that the key service knows it no more
 * - `cutover`: the key service alone
 *
 * While the key service is away its last word goes on for the grace; after that only keys which it never had are decided on.
 * Where it answers with what cannot be a decision, nobody decides.
 */
export class DualVerifier {
  constructor(
    private readonly local: LocalVerifier,
    private readonly central: CentralSide,
  ) {}

  /** @throws VerificationUnavailable where nobody can decide */
  async verify(question: CentralQuestion): Promise<Verdict> {
    switch (this.central.mode) {
      case 'unknown':
        return this.alone(question);
      case 'cutover':
        return this.ask(question, true);
      case 'dual':
        return this.both(question);
      default:
        return this.shadow(question);
    }
  }

  /** Nobody knows which side counts: that does not matter for keys that the key service never had. */
  private async alone(question: CentralQuestion): Promise<Verdict> {
    const { verdict, standing } = await this.askLocal(question);
    if (standing === null && isKnown(verdict)) return verdict;
    throw new VerificationUnavailable('The key service does not say which side counts');
  }

  private async shadow(question: CentralQuestion): Promise<Verdict> {
    const { verdict } = await this.askLocal(question);
    if (this.central.mode !== null) this.central.compareLater(verdict, question);
    return verdict;
  }

  private async both(question: CentralQuestion): Promise<Verdict> {
    const [own, central] = await Promise.allSettled([this.askLocal(question), this.ask(question)]);
    if (central.status === 'rejected') return this.withoutCentral(own, central.reason as Error);
    if (own.status === 'rejected') return orThrow(central.value, own.reason);
    this.central.compare(own.value.verdict, central.value);
    return combined(own.value, central.value, this.central.isSettled);
  }

  /** What the key service alone has refused is not known here: that is borne for the grace. */
  private withoutCentral(own: PromiseSettledResult<OwnVerdict>, reason: Error): Verdict {
    if (own.status === 'rejected' || reason.cause instanceof OddAnswer) throw reason;
    const { verdict, standing } = own.value;
    if (verdict.valid && standing !== null && !this.central.isWithinGrace) throw reason;
    return orThrow(verdict, reason);
  }

  private ask(question: CentralQuestion, isAlone = false): Promise<Verdict> {
    return this.central.verify(question, isAlone).catch((cause: unknown) => {
      throw new VerificationUnavailable('The key service gives no verdict', { cause });
    });
  }

  private askLocal(question: CentralQuestion): Promise<OwnVerdict> {
    return this.local.judge(question).catch((cause: unknown) => {
      throw new VerificationUnavailable('The own store does not answer', { cause });
    });
  }
}

/**
 * What both sides together say.
 *
 * @param isSettled whether all of the key service goes by the present mode, so that what it does not know is not there
 */
export function combined(own: OwnVerdict, central: Verdict, isSettled: boolean): Verdict {
  const { verdict: old, standing } = own;
  if (!isKnown(central)) return standing === 'level' && isSettled ? central : old;
  // a secret that was replaced here since goes on there
  if (!isKnown(old)) return standing === 'ahead' ? old : central;
  return old.valid ? central : old;
}

/** Whether a side knows the key that was presented. */
function isKnown({ code }: Verdict): boolean {
  return code !== 'NOT_FOUND' && code !== 'MALFORMED';
}

/** The one verdict there is, where it is about a key; an unknown one may be known to the other side. */
function orThrow(verdict: Verdict, reason: unknown): Verdict {
  if (isKnown(verdict)) return verdict;
  throw reason;
}
