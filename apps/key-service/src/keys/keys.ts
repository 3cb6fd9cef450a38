import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type {
  ChangedKey,
  CreateKeyBody,
  DeliveredKey,
  DeliveredRotation,
  IssuedKey,
  Key,
  ListKeysQuery,
  RevokedKeys,
  RevokeKeyBody,
  RevokeKeysBody,
  RotatedKey,
} from '#contracts';
import type { Principal } from '../access/principal.js';
import type { Extent, Mutation } from '../changes/mutations.js';
import type { Propagated } from '../changes/propagation.interceptor.js';
import { Idempotency } from '../idempotency/idempotency.js';
import type { Once } from '../idempotency/once.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { Stores } from '../stores.js';
import { Deliveries } from './deliveries.js';
import { findKey } from './find-key.js';
import { issueKey } from './issue-key.js';
import { listKeys } from './list-keys.js';
import { patchKey, type PatchOrder } from './patch-key.js';
import { revokeKey } from './revoke-key.js';
import { revokeKeys } from './revoke-keys.js';
import { rotateKey, type RotateOrder } from './rotate-key.js';
import { showKeys } from './show-key.js';
import { switchKey } from './switch-key.js';
import type { Work } from './work.js';

/** A key's life, each change of it in a transaction with its row of the change log. */
@Injectable()
export class Keys {
  constructor(
    private readonly idempotency: Idempotency,
    private readonly stores: Stores,
    private readonly deliveries: Deliveries,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  /** See {@link issueKey}. */
  async issue(
    body: CreateKeyBody,
    by: Principal,
    once: Once | null,
  ): Promise<IssuedKey | DeliveredKey> {
    const { deliverTo } = body;
    if (deliverTo) return this.deliveries.issue(body, { deliverTo, by, once });
    const work = (manager: EntityManager) => issueKey(this.workOf(manager, by), body);
    const { result } = await this.idempotency.run(once, work);
    return result;
  }

  /** See {@link listKeys}. */
  list(query: ListKeysQuery, by: Principal) {
    return listKeys(this.workOf(this.stores.db.manager, by), query);
  }

  /** See {@link findKey}. */
  async read(id: string, by: Principal): Promise<Key> {
    const key = await findKey(this.stores.db.manager, id, by);
    const { db, link } = this.stores;
    const [shown] = await showKeys(db.manager, [key], this.material.now(), link);
    return shown!;
  }

  /** See {@link patchKey}. */
  async patch(order: PatchOrder, by: Principal): Promise<Propagated<Key>> {
    const { result, propagation } = await this.change(by, (work) => patchKey(work, order));
    return { ...result, propagation };
  }

  /** See {@link rotateKey}. */
  async rotate(
    order: RotateOrder,
    by: Principal,
    once: Once | null,
  ): Promise<Propagated<RotatedKey | DeliveredRotation>> {
    const { deliverTo } = order.body;
    if (deliverTo) return this.deliveries.rotate(order, { deliverTo, by, once });
    const work = (manager: EntityManager) => rotateKey(this.workOf(manager, by), order);
    const { result, propagation } = await this.idempotency.run(once, work);
    return { ...result, propagation };
  }

  /** See {@link revokeKey}. */
  async revoke(id: string, body: RevokeKeyBody, by: Principal): Promise<ChangedKey> {
    const { result, propagation } = await this.change(by, (work) => revokeKey(work, id, body));
    return { key: result, propagation };
  }

  /** See {@link revokeKeys}. */
  async revokeAll(body: RevokeKeysBody, by: Principal): Promise<RevokedKeys> {
    const { result, propagation } = await this.change(by, (work) => revokeKeys(work, body), 'many');
    return { ...result, propagation };
  }

  /** See {@link switchKey}. */
  async switch(id: string, state: 'active' | 'disabled', by: Principal): Promise<ChangedKey> {
    const { result, propagation } = await this.change(by, (work) => switchKey(work, id, state));
    return { key: result, propagation };
  }

  private change<T extends object>(
    by: Principal,
    capability: (work: Work) => Promise<Mutation<T>>,
    extent: Extent = 'one',
  ) {
    return this.idempotency.run(null, (manager) => capability(this.workOf(manager, by)), extent);
  }

  private workOf(manager: EntityManager, by: Principal): Work {
    return { manager, by, material: this.material, link: this.stores.link };
  }
}
