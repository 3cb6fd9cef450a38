import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Propagation } from '#contracts';
import { reusedKey } from '#server';
import { Mutations, type Extent, type Mutation } from '../changes/mutations.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import type { Once } from './once.js';
import { claim, keep, release, type Kept } from './records.js';
import { seal, unseal } from './seal.js';

const SECRET_MS = 10 * 60 * 1_000;

/**
 * Does what is asked for under an Idempotency-Key once. The record of it is a part of the mutation's transaction, so that
 * there are both or neither; those who ask at the same time wait for it and get its answer.
 */
@Injectable()
export class Idempotency {
  constructor(
    private readonly mutations: Mutations,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  /**
   * @param once null where the request may not be repeated
   * @returns the result as it is answered; where it is a repetition, a `secret` only within 10 minutes
   *   and how far it has reached by now
   * @throws ProblemException IDEMPOTENCY_KEY_REUSED where the key was used for something else
   */
  async run<T extends object>(
    once: Once | null,
    work: (manager: EntityManager) => Promise<Mutation<T>>,
    extent: Extent = 'one',
  ): Promise<{ result: T; propagation: Propagation }> {
    if (once === null) return this.mutations.run(work, extent);
    let isReplay = false;
    const done = await this.mutations.run(async (manager) => {
      const kept = await claim(manager, once, this.material.now());
      isReplay = kept !== null;
      if (kept !== null) return this.replay<T>(once, kept);
      const mutation = await work(manager);
      await keep(manager, once, this.recordOf(once, mutation));
      return mutation;
    }, extent);
    if (isReplay) once.markReplayed();
    return done;
  }

  /** Keeps what has become of something that was done under an Idempotency-Key, in place of the answer kept before. */
  async amend(
    manager: EntityManager,
    once: Once | null,
    mutation: Mutation<object>,
  ): Promise<void> {
    if (once !== null) await keep(manager, once, this.recordOf(once, mutation));
  }

  /** Lets the same request be made again: what it did is undone in this transaction. */
  async forget(manager: EntityManager, once: Once | null): Promise<void> {
    if (once !== null) await release(manager, once);
  }

  /** Keys that it touched are touched again: who did it first may have died before every replica went by it. */
  private replay<T>(once: Once, { request, answer, touched, ...kept }: Kept): Mutation<T> {
    if (!request.equals(once.request)) throw reusedKey();
    const secret = this.secretOf(once, kept);
    const entries = Object.entries({ ...answer, ...('secret' in answer && { secret }) });
    const shown = Object.fromEntries(
      entries.filter(([name]) => name !== 'secret' || secret !== null),
    );
    return { result: shown as T, changes: [], touched };
  }

  private secretOf(
    once: Once,
    { sealedSecret, secretUntil }: Pick<Kept, 'sealedSecret' | 'secretUntil'>,
  ): string | null {
    if (sealedSecret === null || this.material.now() >= (secretUntil?.getTime() ?? 0)) return null;
    return unseal(sealedSecret, { key: this.material.idempotencyKey, place: placeOf(once) });
  }

  private recordOf(once: Once, { result, touched }: Mutation<object>): Omit<Kept, 'request'> {
    const { secret } = result as { secret?: string };
    if (secret === undefined)
      return { answer: result, touched, sealedSecret: null, secretUntil: null };
    const { idempotencyKey: key, random, now } = this.material;
    return {
      answer: { ...result, secret: null },
      touched,
      sealedSecret: seal(secret, { key, place: placeOf(once), random }),
      secretUntil: new Date(now() + SECRET_MS),
    };
  }
}

function placeOf({ principal, key }: Once): string {
  return JSON.stringify([principal, key]);
}
