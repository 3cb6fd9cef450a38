import { ProblemException } from '#server';
import type { Principal } from '../access/principal.js';
import { Attempts } from '../attempts.js';

/** How many keys each person may make in a minute, counted by this process; so many at once, and as many again in a minute. */
export class CreationRate {
  private readonly creations: Attempts;

  constructor(
    private readonly perMinute: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.creations = new Attempts({ burst: perMinute, perSecond: perMinute / 60 });
  }

  /** Whoever may make keys for several services has one rate, whichever service they go through. @throws ProblemException TOO_MANY_REQUESTS */
  take({ actor }: Pick<Principal, 'actor'>): void {
    if (this.creations.take(actor, this.nowMs())) return;
    const seconds = Math.max(1, Math.ceil(60 / this.perMinute));
    throw new ProblemException('TOO_MANY_REQUESTS', `Make the next key in ${seconds} s`, {
      headers: {
        'retry-after': String(seconds),
        'ratelimit-policy': `"key-creations";q=${this.perMinute};w=60`,
        ratelimit: `"key-creations";r=0;t=${seconds}`,
      },
    });
  }
}
