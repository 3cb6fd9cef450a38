import { ConflictException, Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type {
  CreateKeyBody,
  DeliveredKey,
  DeliveredRotation,
  DeliverTo,
  IssuedKey,
  Key,
  Propagation,
} from '#contracts';
import type { WritableSecretProvider } from '#key-client';
import { ProblemException } from '#server';
import type { Principal } from '../access/principal.js';
import type { Mutation } from '../changes/mutations.js';
import type { Propagated } from '../changes/propagation.interceptor.js';
import { deliver, type DeliveryOutcome } from '../delivery/deliver.js';
import { DELIVERY_TARGETS, type DeliveryTargets } from '../delivery/delivery-targets.js';
import { Idempotency } from '../idempotency/idempotency.js';
import type { Once } from '../idempotency/once.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { Stores } from '../stores.js';
import { confirmIssue, confirmRotation } from './confirm-delivery.js';
import { issueKey } from './issue-key.js';
import { revokeKey } from './revoke-key.js';
import { rotateKey, type Rotation, type RotateOrder } from './rotate-key.js';
import { takeBack, type Undone } from './take-back.js';
import type { Work } from './work.js';

/** Where a secret goes, who wants it, and under which Idempotency-Key. */
export interface DeliveryOrder {
  deliverTo: DeliverTo;
  by: Principal;
  once: Once | null;
}

/** The three steps of a delivery, each a transaction: the secret is made, and confirmed or taken back. */
interface Steps<M extends Mutation<{ key: Key; secret: string }>, T extends object> {
  make: (work: Work) => Promise<M>;
  confirm: (work: Work, made: M, version: string | null) => Promise<Mutation<T>>;
  undo: (work: Work, made: M) => Promise<Mutation<Undone>>;
}

type Answer<T> = { result: T; propagation: Propagation };
type Pending<M extends Mutation<object>> = { made: M; place: WritableSecretProvider };

/**
 * Puts new secrets straight into their place, so that nobody sees them. A secret is good before anybody can read it there, and
 * taken back where it does not get there; see docs/decisions on deliveries.
 */
@Injectable()
export class Deliveries {
  constructor(
    private readonly idempotency: Idempotency,
    private readonly stores: Stores,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
    @Inject(DELIVERY_TARGETS) private readonly targets: DeliveryTargets,
  ) {}

  /**
   * Issues a key; see {@link issueKey}. One whose secret does not get to its place is revoked.
   *
   * @throws ProblemException DELIVERY_FAILED, DELIVERY_UNAVAILABLE
   */
  async issue(body: CreateKeyBody, order: DeliveryOrder): Promise<DeliveredKey> {
    const { deliverTo } = order;
    const comment = `Its secret could not be delivered to ${deliverTo.provider}`;
    const { result } = await this.run<Mutation<IssuedKey>, DeliveredKey>(order, {
      make: (work) => issueKey(work, body),
      confirm: (work, { result: { key } }, version) =>
        confirmIssue(work, { id: key.id, deliverTo, version }),
      undo: async (work, { result: { key } }) => ({
        ...(await revokeKey(work, key.id, { reason: 'unspecified', comment })),
        result: { isLost: false },
      }),
    });
    return result;
  }

  /**
   * Rotates a key; see {@link rotateKey}. A secret that does not get to its place is taken back, and the old one goes on.
   *
   * @throws ProblemException DELIVERY_FAILED, DELIVERY_UNAVAILABLE
   */
  async rotate(rotate: RotateOrder, order: DeliveryOrder): Promise<Propagated<DeliveredRotation>> {
    const { id } = rotate;
    const { deliverTo } = order;
    const { result, propagation } = await this.run<Rotation, DeliveredRotation>(order, {
      make: (work) => rotateKey(work, rotate),
      confirm: (work, { number, overlapSeconds }, version) =>
        confirmRotation(work, { id, deliverTo, version, number, overlapSeconds }),
      undo: (work, { number }) => takeBack(work, { id, number, deliverTo }),
    });
    return { ...result, propagation };
  }

  private async run<M extends Mutation<{ key: Key; secret: string }>, T extends object>(
    order: DeliveryOrder,
    steps: Steps<M, T>,
  ): Promise<Answer<T>> {
    const begun = await this.begin(order, steps);
    if ('done' in begun) return begun.done as Answer<T>;
    const { made, place } = begun.pending;
    const outcome = await deliver(place, made.result.secret);
    if (!outcome.isDelivered) throw await this.giveUp(order, made, { steps, outcome });
    return this.idempotency.run(null, async (manager) => {
      const confirmed = await steps.confirm(this.workOf(manager, order), made, outcome.version);
      await this.idempotency.amend(manager, order.once, confirmed);
      return confirmed;
    });
  }

  /** Makes the secret, and keeps that it is on its way; or finds the answer to the same request made before. */
  private async begin<M extends Mutation<{ key: Key; secret: string }>, T extends object>(
    order: DeliveryOrder,
    steps: Steps<M, T>,
  ): Promise<{ done: Answer<object> } | { pending: Pending<M> }> {
    let pending: Pending<M> | null = null;
    const done = await this.idempotency.run<object>(order.once, async (manager) => {
      const made = await steps.make(this.workOf(manager, order));
      const place = this.targets.placeFor(order.deliverTo, made.result.key);
      pending = { made, place };
      const { secret: _, ...result } = made.result;
      return {
        result: { ...result, delivered: null },
        changes: made.changes,
        touched: made.touched,
      };
    });
    // Assigned in the transaction, which the compiler does not see; null where that was done before.
    if (pending !== null) return { pending };
    if ((done.result as { delivered: unknown }).delivered === null) throw underWay();
    return { done };
  }

  /** @returns what to say, whether it could be undone or not */
  private async giveUp<M extends Mutation<{ key: Key; secret: string }>, T extends object>(
    order: DeliveryOrder,
    made: M,
    { steps, outcome }: { steps: Steps<M, T>; outcome: DeliveryOutcome & { isDelivered: false } },
  ): Promise<ProblemException> {
    const undone = this.idempotency.run(null, async (manager) => {
      const mutation = await steps.undo(this.workOf(manager, order), made);
      await this.idempotency.forget(manager, order.once);
      return mutation;
    });
    const said = { ...outcome, provider: order.deliverTo.provider };
    const lost = `the key ${made.result.key.id} has a secret that nobody has, so rotate or revoke it`;
    return undone.then(
      ({ result: { isLost } }) =>
        problemOf({ ...said, left: isLost ? lost : 'nothing was changed' }),
      (cause: unknown) => problemOf({ ...said, isRefusal: false, left: lost, cause }),
    );
  }

  private workOf(manager: EntityManager, { by }: DeliveryOrder): Work {
    return { manager, by, material: this.material, link: this.stores.link };
  }
}

/** `left` says what the key is like now. The cause is for the log. */
function problemOf({
  isRefusal,
  provider,
  left,
  cause,
}: {
  isRefusal: boolean;
  provider: string;
  left: string;
  cause: unknown;
}): ProblemException {
  if (isRefusal) {
    const detail = `${provider} did not take the secret; ${left}`;
    return new ProblemException('DELIVERY_FAILED', detail, { cause });
  }
  const detail = `${provider} does not answer as it should; ${left}`;
  const headers = { 'retry-after': '5' };
  return new ProblemException('DELIVERY_UNAVAILABLE', detail, { headers, cause });
}

function underWay(): ConflictException {
  const detail =
    'The delivery that this Idempotency-Key stands for is under way or was broken off; look at the key, and rotate it under another one';
  return new ConflictException(detail, { errorCode: 'CONFLICT' });
}
