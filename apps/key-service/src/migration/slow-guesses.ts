import type { SlowQuestion } from '#key-core/legacy';
import type { Attempts } from '../attempts.js';
import type { ForeignText } from '../verify/foreign-keys.js';
import type { SlowPool } from './slow-pool.js';

/** What guesses are compared with and counted by. */
export interface SlowGuessesParts {
  attempts: Attempts;
  pool: Pick<SlowPool, 'isFull' | 'matches'>;
  now: () => number;
}

/** Texts that may be what a slow hash is of: each source has a few guesses, and only a wrong one costs it one. */
export class SlowGuesses {
  constructor(private readonly parts: SlowGuessesParts) {}

  /** Whether nobody can guess now, as too many wait. */
  get areFull(): boolean {
    return this.parts.pool.isFull;
  }

  /** Whether a source that is told has no guess left. */
  isSpent(given: ForeignText): boolean {
    const { attempts, now } = this.parts;
    return given.clientIp !== undefined && attempts.isSpent(sourceOf(given), now());
  }

  /** @throws Error where nothing was compared: that is no guess */
  async isRight(given: ForeignText, question: SlowQuestion): Promise<boolean | 'busy'> {
    const { attempts, pool, now } = this.parts;
    const source = sourceOf(given);
    if (this.areFull || !attempts.take(source, now())) return 'busy';
    let isWrong = false;
    try {
      isWrong = !(await pool.matches(question));
    } finally {
      if (!isWrong) attempts.giveBack(source);
    }
    return !isWrong;
  }
}

/** Who guesses. Callers that do not say where a request comes from share one allowance. */
function sourceOf({ service, clientIp = '' }: ForeignText): string {
  return `${service} ${clientIp}`;
}
