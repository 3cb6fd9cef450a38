import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { ChangedKey, Key, RotationStatus } from '#contracts';
import type { Principal } from '../access/principal.js';
import { Mutations, type Mutation } from '../changes/mutations.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { Stores } from '../stores.js';
import { extendRotation, type ExtendOrder } from './extend-rotation.js';
import { finishRotation, type FinishOrder } from './finish-rotation.js';
import { rotationStatus } from './rotation-status.js';
import type { Work } from './work.js';

/** What happens between a rotation and the end of the old secret. */
@Injectable()
export class Rotations {
  constructor(
    private readonly mutations: Mutations,
    private readonly stores: Stores,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  /** See {@link rotationStatus}. */
  status(id: string, by: Principal): Promise<RotationStatus> {
    const { db, fence } = this.stores;
    return rotationStatus(this.workOf(db.manager, by), id, fence.boundSeconds);
  }

  /** See {@link finishRotation}. */
  finish(order: FinishOrder, by: Principal): Promise<ChangedKey> {
    return this.change(by, (work) => finishRotation(work, order));
  }

  /** See {@link extendRotation}. */
  extend(order: ExtendOrder, by: Principal): Promise<ChangedKey> {
    return this.change(by, (work) => extendRotation(work, order));
  }

  private async change(
    by: Principal,
    capability: (work: Work) => Promise<Mutation<Key>>,
  ): Promise<ChangedKey> {
    const { result: key, propagation } = await this.mutations.run((manager) =>
      capability(this.workOf(manager, by)),
    );
    return { key, propagation };
  }

  private workOf(manager: EntityManager, by: Principal): Work {
    return { manager, by, material: this.material, link: this.stores.link };
  }
}
