import type { Logger } from 'pino';
import type { DataSource, EntityManager } from 'typeorm';
import type { Propagation } from '#contracts';
import { appendChanges, isRetriable, type NewChange } from './change-log.js';
import type { Fence } from './fence.js';
import type { Markers, TouchedKey } from './marker.js';

/** What a mutation did: its result, its rows for the change log, and the keys whose verification it changes. */
export interface Mutation<T> {
  result: T;
  changes: NewChange[];
  touched: TouchedKey[];
}

export interface MutationParts {
  db: DataSource;
  fence: Fence;
  /** Null where there is no Redis, and so nothing to overwrite. */
  markers: Markers | null;
  cacheTtlSeconds: number;
  log: Logger;
}

const MAX_TRIES = 4;

/**
 * Runs what changes something. The rows, and their entries in the change log as the last statements, are one transaction;
 * after its commit and before this returns, the cache entries of all touched keys are overwritten with markers, so that no
 * verification that starts later, on any replica, goes by the old state. Where that cannot be made certain the answer says
 * so, with the bound. A serialization failure or deadlock is tried again, three times at most.
 */
export class Mutations {
  constructor(private readonly parts: MutationParts) {}

  /** @throws whatever `work` throws; nothing is changed then */
  async run<T>(
    work: (manager: EntityManager) => Promise<Mutation<T>>,
  ): Promise<{ result: T; propagation: Propagation }> {
    const { mutation, epoch } = await this.commit(work, 1);
    const propagation = await this.propagate(mutation.touched, epoch);
    return { result: mutation.result, propagation };
  }

  private async commit<T>(
    work: (manager: EntityManager) => Promise<Mutation<T>>,
    attempt: number,
  ): Promise<{ mutation: Mutation<T>; epoch: number }> {
    try {
      return await this.parts.db.transaction(async (manager) => {
        const mutation = await work(manager);
        const [head] = await manager.query<{ epoch: string }[]>(
          'SELECT epoch FROM keys.cache_epoch',
        );
        if (mutation.changes.length > 0) await appendChanges(manager, mutation.changes);
        return { mutation, epoch: Number(head!.epoch) };
      });
    } catch (error) {
      if (attempt >= MAX_TRIES || !isRetriable(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** attempt));
      return this.commit(work, attempt + 1);
    }
  }

  private async propagate(touched: TouchedKey[], epoch: number): Promise<Propagation> {
    const startedMs = performance.now();
    const boundSeconds = touched.length === 0 ? 0 : await this.boundOf(touched, epoch);
    const ms = Math.round((performance.now() - startedMs) * 10) / 10;
    return { confirmed: boundSeconds === 0, boundSeconds, ms };
  }

  /** For how many seconds some replica may still go by the old state; 0 where none does. */
  private async boundOf(touched: TouchedKey[], epoch: number): Promise<number> {
    const { fence, cacheTtlSeconds, log } = this.parts;
    try {
      if (await this.confirm(touched, epoch)) return 0;
      return fence.boundSeconds;
    } catch (error) {
      log.error(
        { err: error },
        'a change is committed, but that every replica goes by it is not certain',
      );
      // the epoch may not have been raised: a replica that reads it goes by an entry to its end, then by the store
      return cacheTtlSeconds + fence.boundSeconds;
    }
  }

  /** Where there is no Redis here, other replicas may have one all the same: then they have to hear of a new epoch. */
  private async confirm(touched: TouchedKey[], epoch: number): Promise<boolean> {
    const { markers, fence } = this.parts;
    let runs = (await markers?.write(touched, epoch)) ?? null;
    if (runs === null && markers?.isUsable === false) {
      // once more, with Redis admitted anew, before everybody has to give up what is cached
      await fence.poll();
      runs = await markers.write(touched, epoch);
    }
    return runs === null ? fence.raise() : fence.vouchFor(runs);
  }
}
