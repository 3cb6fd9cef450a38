import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { reusedKey } from '#server';
import { SECRETS } from '../injection.js';
import { digestOf, type LoginSecrets } from '../secrets.js';
import { seal, unseal } from '../tokens/sealing.js';
import type { Once } from './once.js';
import { claim, keep, type Kept } from './records.js';

/** An answer of login; the one secret that there may be has this name. */
type Answer = object & { clientSecret?: string };

/**
 * Does what is asked for under an Idempotency-Key once. The record of it is a part of the transaction, so that there are both
 * or neither; those who ask at the same time wait for it and get its answer.
 */
@Injectable()
export class Idempotency {
  constructor(
    private readonly db: DataSource,
    @Inject(SECRETS) private readonly secrets: LoginSecrets,
  ) {}

  /**
   * Runs the work in a transaction.
   *
   * @param once null where the request may not be repeated
   * @returns what is answered, and whether it had been done before; then a secret is in it for 10 minutes only
   * @throws ProblemException IDEMPOTENCY_KEY_REUSED where the key was used for something else
   */
  async run<T extends Answer>(
    once: Once | null,
    work: (manager: EntityManager) => Promise<T>,
  ): Promise<{ answer: T; isReplay: boolean }> {
    const done = await this.db.transaction(async (manager) => {
      if (once === null) return { answer: await work(manager), isReplay: false };
      const record = { ...once, request: digestOf(this.secrets.repeatedRequests, once.asked) };
      const kept = await claim(manager, record);
      if (kept !== null) {
        if (!kept.request.equals(record.request)) throw reusedKey();
        return { answer: this.answerOf(once, kept) as T, isReplay: true };
      }
      const answer = await work(manager);
      await keep(manager, once, this.keptOf(once, answer));
      return { answer, isReplay: false };
    });
    if (done.isReplay) once?.markReplayed();
    return done;
  }

  private keptOf(once: Once, answer: Answer): Omit<Kept, 'request'> {
    const { clientSecret, ...rest } = answer;
    if (clientSecret === undefined) return { answer: rest, sealedSecret: null };
    const key = this.secrets.repeatedSecrets;
    return { answer: rest, sealedSecret: seal(key, placeOf(once), Buffer.from(clientSecret)) };
  }

  private answerOf(once: Once, { answer, sealedSecret }: Kept): Answer {
    if (sealedSecret === null) return answer;
    const secret = unseal(this.secrets.repeatedSecrets, placeOf(once), sealedSecret);
    return { ...answer, clientSecret: secret.toString() };
  }
}

function placeOf({ principal, key }: Once): string {
  return `login.idempotency/${JSON.stringify([principal, key])}`;
}
